"""Trust on a person's word: shown, pinned, and replaced only when asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from device_agents.connect.ssh import SshConnection
from device_agents.errors import DeviceError, HostKeyChanged, UnknownHostKey
from device_agents.farm.inventory import DeviceEntry, stand_in
from device_agents.farm.trust import next_untrusted, pin
from tests.doubles.loopback import Loopback, new_key

pytestmark = pytest.mark.device


@pytest.fixture
def fresh(double: Loopback, tmp_path: Path) -> DeviceEntry:
    """The double with a farm of its own that trusts nobody yet."""
    return double.entry().model_copy(update={"known_hosts": tmp_path / "farm.known_hosts"})


def test_fingerprint_shown_is_the_servers_own(double: Loopback, fresh: DeviceEntry) -> None:
    shown = next_untrusted(fresh)
    assert shown is not None
    listed = subprocess.run(
        ["ssh-keygen", "-lf", str(double.folder / "host.pub")], check=True, capture_output=True, text=True
    ).stdout.split()
    assert shown.fingerprint == f"ssh-ed25519 {listed[1]}"
    assert not shown.changed


def test_pinned_key_lets_us_connect(fresh: DeviceEntry) -> None:
    with pytest.raises(UnknownHostKey):
        SshConnection.open(fresh)
    shown = next_untrusted(fresh)
    assert shown is not None
    path = pin(fresh, shown)
    assert path == fresh.known_hosts
    assert next_untrusted(fresh) is None
    with SshConnection.open(fresh) as connection:
        assert connection.run(["true"]).status == 0


def _other_key(fresh: DeviceEntry, tmp_path: Path, double: Loopback) -> Path:
    assert fresh.known_hosts is not None
    public = Path(f"{new_key(tmp_path / 'other')}.pub").read_text().split()
    fresh.known_hosts.write_text(
        f"# a comment stays\nelsewhere.example {public[0]} {public[1]}\n"
        f"[127.0.0.1]:{double.port} {public[0]} {public[1]}\n"
    )
    return fresh.known_hosts


@pytest.mark.parametrize("hashed", [False, True])
def test_changed_key_is_replaced_only_when_asked_for(
    double: Loopback, fresh: DeviceEntry, tmp_path: Path, hashed: bool
) -> None:
    path = _other_key(fresh, tmp_path, double)
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    before = path.read_text()
    shown = next_untrusted(fresh)
    assert shown is not None
    assert shown.changed
    with pytest.raises(HostKeyChanged):
        pin(fresh, shown)
    assert path.read_text() == before
    pin(fresh, shown, replace=True)
    assert next_untrusted(fresh) is None
    assert path.read_text().startswith("# a comment stays")
    assert len(path.read_text().splitlines()) == 3


def test_jump_hosts_are_trusted_one_by_one(double: Loopback, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {double.key}\n  IdentitiesOnly yes\n")
    with Loopback(tmp_path / "jump") as jump:
        shutil.copyfile(double.folder / "authorized_keys", jump.folder / "authorized_keys")
        entry = double.entry().model_copy(
            update={"jump": f"127.0.0.1:{jump.port}", "ssh_config": config, "known_hosts": tmp_path / "known"}
        )
        names = []
        while (shown := next_untrusted(entry)) is not None:
            names.append(shown.name)
            pin(entry, shown)
        assert names == [f"[127.0.0.1]:{jump.port}", f"[127.0.0.1]:{double.port}"]
        with SshConnection.open(entry) as connection:
            assert connection.run(["true"]).status == 0


def test_this_machine_has_no_host_key() -> None:
    with pytest.raises(DeviceError, match="no host key"):
        next_untrusted(stand_in("raspberry-pi"))
