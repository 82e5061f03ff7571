"""`devices.reserve`, `devices.release`, `devices.adopt`, and what `devices` and the doctor say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device_agents.agent.lock import Lock
from device_agents.farm import reservation as reservations
from device_agents.farm.identity import FILE, known, remember
from device_agents.farm.quarantine import Quarantine
from device_agents.farm.reservation import DeviceReserved
from edgewright.errors import BadArgument
from pipeline import devices
from pipeline.adopt import NoIdentity, adopt
from pipeline.reserve import read_length, release, reserve


@pytest.fixture(autouse=True)
def farm(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A farm of one device, which is this machine in a folder of its own; that folder."""
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    root = tmp_path / "device"
    (tmp_path / "farm.toml").write_text(f'[devices.pi-1]\ntarget = "host"\nkind = "local"\nroot = "{root}"\n')
    return root


def _be(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(reservations, "user_name", lambda: who)


@pytest.mark.parametrize("text", ["", "soon", "0", "8d", "200h", "-1h", "2 hours"])
def test_length_that_is_none_is_said_with_the_flag(text: str) -> None:
    with pytest.raises(BadArgument) as caught:
        read_length(text)
    assert caught.value.where == "--for" and "7 days" in caught.value.what


def test_reserve_and_release_say_whose_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _be(monkeypatch, "ada")
    reserve("pi-1", "2h", "a new\nkernel \x1b[31m")
    said = capsys.readouterr().out
    assert said.startswith("  pi-1: you have it until 2") and "(2 h 00 min left): a new kernel" in said
    assert "\x1b" not in said and said.count("\n") == 1
    _be(monkeypatch, "bob")
    with pytest.raises(DeviceReserved, match="ada on"):
        reserve("pi-1", "1h")
    with pytest.raises(DeviceReserved, match="ada on"):
        release("pi-1")
    release("pi-1", anyway=True)
    said = capsys.readouterr().out
    assert "pi-1 is free: the reservation was ada's on" in said
    release("pi-1")
    assert capsys.readouterr().out == "  pi-1: there was no reservation\n"


def test_reserve_says_that_a_job_still_runs(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Lock(str(farm), {"who": "bob", "what": "resnet8 > host"}):
        reserve("pi-1", "1h")
    assert "a job runs there now and goes on to its end: bob, resnet8 > host" in capsys.readouterr().out


def test_probe_and_doctor_show_a_reservation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _be(monkeypatch, "ada")
    reserve("pi-1", "2h", "a new kernel")
    _be(monkeypatch, "bob")
    capsys.readouterr()
    devices.probe("pi-1", as_json=False)
    assert "reserved: ada on" in capsys.readouterr().out
    devices.probe("pi-1", as_json=True)
    assert json.loads(capsys.readouterr().out)["reservation"]["who"] == "ada"
    devices.doctor("pi-1", as_json=False)
    assert "it is reserved: ada on" in capsys.readouterr().out


def test_device_in_quarantine_is_shown_offline_and_back_when_the_doctor_passes(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Quarantine.read(state).failed("pi-1", "link lost", "night-1", wholly=True)
    devices.show()
    said = capsys.readouterr().out
    assert "in quarantine since 2" in said and "link lost" in said and "./inv devices.doctor pi-1" in said
    # Whether this machine is fit is not what is tested.
    monkeypatch.setattr("device_agents.farm.doctor.doctor", lambda device, target: ([], "fit to measure"))
    assert devices.doctor("pi-1", as_json=False)
    assert "out of quarantine" in capsys.readouterr().out
    assert Quarantine.read(state).of("pi-1") is None


def test_quarantine_stays_where_the_doctor_does_not_pass(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from device_agents.farm.doctor import Finding

    Quarantine.read(state).failed("pi-1", "link lost", "night-1", wholly=True)
    blocked = [Finding("blocks", "only 3 MB are free on its disk", "", "disk")]
    monkeypatch.setattr("device_agents.farm.doctor.doctor", lambda device, target: (blocked, "not fit"))
    assert not devices.doctor("pi-1", as_json=False)
    assert Quarantine.read(state).of("pi-1") is not None


def _tells(monkeypatch: pytest.MonkeyPatch, identity: str | None) -> None:
    facts = {"identity": identity, "board": "Raspberry Pi 5"}
    monkeypatch.setattr("device_agents.farm.device.Device.probe", lambda device: {"facts": facts, "state": {}})


def test_adopt_takes_another_board_in(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(state, "pi-1", "ab" * 8)
    _tells(monkeypatch, "cd" * 8)
    adopt("pi-1")
    assert known(state, "pi-1") == "cd" * 8
    said = capsys.readouterr().out
    assert "pi-1 is cdcdcdcd from now on, Raspberry Pi 5, known until now abababab: its series begin anew" in said
    adopt("pi-1")
    assert "is the board that it was" in capsys.readouterr().out


def test_adopt_of_what_tells_nothing_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tells(monkeypatch, None)
    with pytest.raises(NoIdentity) as caught:
        adopt("pi-1")
    assert caught.value.remedy == "./inv devices.probe pi-1"
    assert not (state / FILE).exists()
