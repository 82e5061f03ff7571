"""The look at a device before it is measured on: whose it is, which board it is, of what kind, and fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from device_agents.farm.doctor import Finding
from device_agents.farm.identity import known
from device_agents.farm.inventory import DeviceEntry, stand_in
from device_agents.farm.quarantine import Quarantine
from device_agents.farm.reservation import Reservation, me
from pipeline.nightly import visit as visits
from pipeline.nightly.visit import Seen, visit
from targets.schema import Target, read_target

ENTRY = DeviceEntry(name="pi", target="raspberry-pi", address="pi.example")
BOARD, OTHER = "ab" * 8, "cd" * 8


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return read_target("raspberry-pi", tmp_path)


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "reservation_of", lambda device: None)
    monkeypatch.setattr(visits, "doctor", lambda device, target: ([], "fit to measure"))


def looked(target: Target, state: Path, identity: str | None = BOARD, machine: str = "aarch64", **entry: Any) -> Seen:
    device = SimpleNamespace(probe=lambda: {"facts": {"identity": identity}}, system=SimpleNamespace(machine=machine))
    return visit(device, ENTRY.model_copy(update=entry), target, state)  # type: ignore[arg-type]


def test_free_board_of_its_kind_is_healthy_and_remembered(target: Target, state: Path) -> None:
    assert looked(target, state) == Seen("healthy", BOARD)
    assert known(state, "pi") == BOARD
    assert looked(target, state).state == "healthy"


def test_another_board_under_the_same_name_is_told(target: Target, state: Path) -> None:
    looked(target, state)
    seen = looked(target, state, OTHER)
    assert (seen.state, seen.identity) == ("replaced", OTHER)
    assert seen.remedy is not None and "devices.adopt pi" in seen.remedy
    assert known(state, "pi") == BOARD


@pytest.mark.parametrize("told", [{"emulated": True}, {"stand_in": True}, {"name": "this machine"}])
def test_what_is_no_board_has_no_identity_to_keep(told: dict[str, Any], target: Target, state: Path) -> None:
    assert looked(target, state, **told).state == "healthy"
    assert looked(target, state, OTHER, **told).state == "healthy"


@pytest.mark.parametrize("mine", [True, False])
def test_reservation_is_kept_whoever_has_it(
    mine: bool, target: Target, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = me() if mine else {"who": "ada", "host": "bench"}
    held = Reservation(until_utc="2026-11-26T14:05:00Z", left_s=60.0, **who)
    monkeypatch.setattr(visits, "reservation_of", lambda device: held)
    seen = looked(target, state)
    assert seen.state == "reserved"
    assert ("you have it" if mine else "ada on bench") in (seen.problem or "")
    assert ("--anyway" in (seen.remedy or "")) is not mine


def test_board_of_another_kind_is_unfit_unless_it_stands_in(target: Target, state: Path) -> None:
    seen = looked(target, state, machine="x86_64")
    assert seen.state == "unfit" and "x86_64" in (seen.problem or "")
    assert looked(target, state, machine="x86_64", stand_in=True).state == "healthy"
    assert stand_in("raspberry-pi").stand_in


@pytest.mark.parametrize(("level", "becomes"), [("blocks", "quarantined"), ("spoils", "healthy"), (None, "healthy")])
def test_quarantine_ends_where_the_doctor_finds_nothing_that_blocks(
    level: Any, becomes: str, target: Target, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Quarantine.read(state).failed("pi", "it died", "n1", wholly=True)
    findings = [Finding(level, "the disk is full", "free some", "disk")] if level else []
    monkeypatch.setattr(visits, "doctor", lambda device, target: (findings, "x"))
    seen = looked(target, state)
    assert seen.state == becomes
    assert (Quarantine.read(state).of("pi") is None) is (becomes == "healthy")
    assert becomes == "healthy" or ("it died" in (seen.problem or "") and "disk is full" in (seen.problem or ""))
