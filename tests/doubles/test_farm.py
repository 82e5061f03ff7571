"""The farm of board doubles: what is declared answers, loses its power, comes back, and is cut off by its link."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.connect.ssh import SshConnection
from device_agents.errors import DeviceUnreachable
from device_agents.farm.device import open_device
from device_agents.farm.inventory import Inventory
from targets.schema import read_target
from tests.device_agents.farm.jobs import agents_of
from tests.doubles.farm import Farm
from tests.doubles.loopback import sshd_path
from tests.prerequisites import require

pytestmark = pytest.mark.device


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed: apt-get install openssh-client")
    with Farm(tmp_path_factory.mktemp("farm"), 3, faults=True) as found:
        yield found


def _identity(farm: Farm, name: str, folder: Path) -> tuple[str, str]:
    """(identity, boot id) that a device tells."""
    with open_device(farm[name].entry, state=folder / "state", cache=folder / "cache") as device:
        facts = device.probe()["facts"]
    return facts["identity"], facts["boot_id"]


def test_declared_devices_are_boards_of_their_own(farm: Farm, tmp_path: Path) -> None:
    farm.declare(tmp_path)
    entries = Inventory.read(tmp_path / "farm.toml").entries
    assert list(entries) == ["board-1", "board-2", "board-3"]
    assert not any(entry.stand_in or entry.emulated for entry in entries.values())
    assert entries["board-2"].port == farm["board-2"].entry.port
    assert read_target(farm.target, tmp_path).runtime[0].source == "device"
    told = {_identity(farm, name, tmp_path) for name in entries}
    assert len({identity for identity, _ in told}) == len({boot for _, boot in told}) == 3


def test_device_without_power_is_away_and_comes_back_as_itself(farm: Farm, tmp_path: Path) -> None:
    before = _identity(farm, "board-1", tmp_path)
    farm["board-1"].cut_power()
    with pytest.raises(DeviceUnreachable):
        SshConnection.open(farm["board-1"].entry)
    farm["board-1"].restart()
    after = _identity(farm, "board-1", tmp_path)
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    assert not agents_of(str(farm["board-1"].double.root))


def test_link_of_one_device_fails_alone(farm: Farm) -> None:
    link = farm["board-2"].link
    assert link is not None
    link.refuse()
    with pytest.raises(DeviceUnreachable):
        SshConnection.open(farm["board-2"].entry)
    with SshConnection.open(farm["board-3"].entry) as other:
        assert other.run(["echo", "here"]).stdout == b"here\n"
    link.heal()
    with SshConnection.open(farm["board-2"].entry) as again:
        assert again.run(["echo", "back"]).stdout == b"back\n"
