"""A reservation as it is told to a person, whatever the device says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from device_agents.farm import reservation as reservations
from device_agents.farm.endings import ended_badly
from device_agents.farm.reservation import DeviceReserved, Reservation, me, refusal, shown


def test_end_is_told_by_this_hosts_clock() -> None:
    before = datetime.now(timezone.utc)
    found = Reservation.told({"who": "ada", "host": "bench", "note": "", "left_s": 3600.0, "until": 1.0})
    until = datetime.strptime(found.until_utc, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert timedelta(minutes=59) < until - before <= timedelta(minutes=61)


def test_line_says_who_until_when_and_why() -> None:
    found = Reservation("ada", "bench", "2026-11-26T14:05:00Z", "a new kernel", 2520.0)
    assert str(found) == "ada on bench has it until 2026-11-26 14:05 UTC (42 min left): a new kernel"
    assert not found.is_mine


def test_own_reservation_is_called_so() -> None:
    found = Reservation(me()["who"], me()["host"], "2026-11-26T14:05:00Z", "", 60.0)
    assert found.is_mine
    assert str(found).startswith("you have it until")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"who": None, "left_s": "soon"},
        {"who": ["ada"], "left_s": float("nan")},
        {"who": "ev\x1b[31mil\n", "note": "\u202ex", "left_s": 1e300},
        {"left_s": -5},
    ],
)
def test_whatever_a_device_says_can_be_shown(told: dict[str, object]) -> None:
    assert str(Reservation.told(told)).isprintable()


def test_refusal_names_the_person_the_end_and_the_next_command() -> None:
    found = Reservation("ada", "bench", "2026-11-26T14:05:00Z", "", 2520.0)
    error = refusal("pi-1", "/home/pi/.edgewright/reservation/held.json", found)
    assert "ada on bench" in error.what and "14:05 UTC" in error.what
    assert "./inv devices.release pi-1 --anyway" in error.remedy
    assert "./inv devices.release host --anyway" in refusal("this machine", "", found).remedy


def test_agents_refusal_is_the_same_error() -> None:
    end = {"kind": "end", "ok": False, "error": "reserved", "holder": {"who": "ada", "host": "bench", "left_s": 60.0}}
    error = ended_badly("pi-1", "/root", end, "could not run the job")
    assert isinstance(error, DeviceReserved) and "ada on bench" in error.what


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1 min"), (61, "2 min"), (3540, "59 min"), (3600, "1 h 00 min"), (9000, "2 h 30 min")]
)
def test_time_left_is_never_told_too_short(seconds: float, text: str) -> None:
    assert shown(seconds) == text


def test_names_that_cannot_be_printed_are_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "user_name", lambda: "a\x00da\n" + "x" * 500)
    assert Reservation.told({**me(), "left_s": 60.0}).is_mine
