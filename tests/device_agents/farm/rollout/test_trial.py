"""The host's end of a trial, held against a real agent on this machine: keep, back, and every other way out."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.agent import current
from device_agents.agent.stage import stage
from device_agents.errors import AgentLost
from device_agents.farm import reservation as reservations
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.reserve import DeviceReserved, reserve
from device_agents.farm.rollout.errors import ReleaseRefused, RolloutBusy, TrialLost
from device_agents.farm.rollout.told import survey
from device_agents.farm.rollout.trial import Trial
from tests.device_agents.agent.released import MODEL, STAMP, links, send
from tests.device_agents.farm.jobs import agents_of, wait_until


@pytest.fixture
def device(tmp_path: Path, empty_cache: Path) -> Iterator[Device]:
    """This machine, with 1.0.0 good and 1.1.0 staged."""
    root = tmp_path / "root"
    for version in ("1.0.0", "1.1.0"):
        name = str(stage(str(root), MODEL, send(root, version), STAMP)["name"])
        if version == "1.0.0":
            current.switch(str(root / "releases" / MODEL), name, STAMP)
            current.keep(str(root / "releases" / MODEL))
    entry = DeviceEntry(name="pi", target="raspberry-pi", kind="local", root=str(root))
    with open_device(entry, state=tmp_path / "state", cache=empty_cache) as found:
        yield found


def root(device: Device) -> Path:
    return Path(device.root)


def staged(device: Device, version: str = "1.1.0") -> str:
    there = survey(device).of(MODEL)
    assert there is not None
    return next(one.name for one in there.releases if one.version == version)


def test_trial_that_is_kept(device: Device) -> None:
    with Trial(device, MODEL, staged(device)) as trial:
        assert trial.before == staged_before(device) and links(root(device)) == ("1.1.0", None)
        assert trial.keep() == []
    assert links(root(device)) == ("1.1.0", "1.0.0")


def staged_before(device: Device) -> str:
    folder = root(device) / "releases" / MODEL
    return next(path.name for path in folder.iterdir() if path.name.startswith("1.0.0-"))


def test_trial_that_is_not_kept_goes_back_with_the_reason(device: Device) -> None:
    with Trial(device, MODEL, staged(device)) as trial:
        assert trial.back("wrong answers") == staged_before(device)
    there = survey(device).of(MODEL)
    assert there is not None and there.failed is not None and there.failed.why == "wrong answers"


def test_block_that_ends_in_any_other_way_goes_back(device: Device) -> None:
    with pytest.raises(KeyboardInterrupt), Trial(device, MODEL, staged(device)):
        raise KeyboardInterrupt
    assert links(root(device)) == ("1.0.0", None)
    there = survey(device).of(MODEL)
    assert there is not None and there.failed is not None
    assert there.failed.why == "the rollout was stopped (KeyboardInterrupt)"


def test_trial_lives_as_long_as_the_host_does(device: Device) -> None:
    import time

    with Trial(device, MODEL, staged(device), silence_s=0.8) as trial:
        time.sleep(2.5)
        trial.keep()
    assert links(root(device)) == ("1.1.0", "1.0.0")


def test_host_hears_that_the_device_went_back_by_itself(device: Device) -> None:
    with (
        pytest.raises(TrialLost, match="nothing was heard"),
        Trial(device, MODEL, staged(device), silence_s=0.4) as trial,
    ):
        trial._over.set()  # it shows no life any more
        wait_until(lambda: links(root(device))[0] == "1.0.0", "the device goes back")
        trial.keep()


def test_trial_that_was_killed_is_lost_and_settled(device: Device) -> None:
    with pytest.raises(AgentLost), Trial(device, MODEL, staged(device)) as trial:
        for pid in agents_of(device.root):
            if b"\0trial\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        trial.keep()
    assert links(root(device)) == ("1.1.0", None)
    assert set(survey(device).settled) == {MODEL} and links(root(device)) == ("1.0.0", None)


def test_second_trial_is_refused_and_waits_where_it_is_told_to(device: Device) -> None:
    name = staged(device)
    with Trial(device, MODEL, name) as trial:
        with pytest.raises(RolloutBusy, match=r"rolling out tiny 1\.1\.0"), Trial(device, MODEL, staged_before(device)):
            pass
        trial.keep()
    with Trial(device, MODEL, staged_before(device), wait_s=30.0) as trial:
        trial.keep()
    assert links(root(device)) == ("1.0.0", "1.1.0")


def test_what_the_device_does_not_take_is_told(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReleaseRefused, match="not whole"), Trial(device, MODEL, "9.9.9-000000000000"):
        pass
    with pytest.raises(ReleaseRefused, match="current already"), Trial(device, MODEL, staged_before(device)):
        pass
    name = staged(device)
    with monkeypatch.context() as patch:
        patch.setattr(reservations, "user_name", lambda: "bob")
        reserve(device, 3600)
    with pytest.raises(DeviceReserved, match="bob"), Trial(device, MODEL, name):
        pass
    assert links(root(device)) == ("1.0.0", None)
