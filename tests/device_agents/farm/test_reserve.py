"""Reserving a device of each kind: its owner's commands go on, everybody else's are refused before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.farm import reservation as reservations
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.opening import AnyDevice, open_any
from device_agents.farm.phonelock import PhoneLock
from device_agents.farm.reserve import DeviceReserved, finding, open_free, release, reservation_of, reserve
from tests.doubles.phone import PhoneDouble


@pytest.fixture(params=["local", *(pytest.param(kind, marks=pytest.mark.device) for kind in ("ssh", "adb"))])
def entry(request: pytest.FixtureRequest, tmp_path: Path) -> DeviceEntry:
    """A device of each kind, with a folder of its own."""
    if request.param == "adb":
        phone: PhoneDouble = request.getfixturevalue("phone_double")
        return phone.entry().model_copy(update={"root": str(tmp_path / "it's a $(phone)")})
    if request.param == "ssh":
        found: DeviceEntry = request.getfixturevalue("double").entry()
    else:
        found = DeviceEntry(name="pi-1", target="raspberry-pi", kind="local")
    return found.model_copy(update={"root": str(tmp_path / "it's $(a) root")})


@pytest.fixture
def opened(entry: DeviceEntry, tmp_path: Path, empty_cache: Path) -> Iterator[AnyDevice]:
    with open_any(entry, state=tmp_path / "state", cache=empty_cache) as found:
        yield found


def _be(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(reservations, "user_name", lambda: who)


def test_reservation_is_refused_to_others_until_it_is_released(
    entry: DeviceEntry, opened: AnyDevice, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_again() -> None:
        open_free(entry, state=tmp_path / "state", cache=empty_cache).close()

    assert reservation_of(opened) is None
    open_again()
    _be(monkeypatch, "ada")
    made = reserve(opened, 7200, 'it\'s a "new" kernel; $(reboot)')
    assert made.is_mine and made.note == 'it\'s a "new" kernel; $(reboot)' and 7100 < made.left_s <= 7200
    open_again()

    _be(monkeypatch, "bob")
    found = reservation_of(opened)
    assert found is not None and found.who == "ada" and found.note == made.note and not found.is_mine
    for refused in (open_again, lambda: reserve(opened, 60), lambda: release(opened), lambda: opened.erase()):
        with pytest.raises(DeviceReserved, match=r"ada on .* until .* UTC \(2 h 00 min left\)") as caught:
            refused()
        assert f"./inv devices.release {entry.name} --anyway" in caught.value.remedy
    ended = release(opened, anyway=True)
    assert ended is not None and ended.who == "ada"
    assert reservation_of(opened) is None and release(opened) is None
    open_again()


def test_owner_extends_and_ends_it_and_takes_everything_away(
    opened: AnyDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    _be(monkeypatch, "ada")
    reserve(opened, 60)
    assert reserve(opened, 7200).left_s > 7100
    _, left = opened.erase()
    assert left == [] and not Path(opened.root).exists()


def test_doctor_says_it_as_a_note_that_spoils_nothing(opened: AnyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    _be(monkeypatch, "ada")
    made = reserve(opened, 60)
    assert finding("pi-1", made).level == "note" and finding("pi-1", made).remedy == ""
    _be(monkeypatch, "bob")
    found = finding("pi-1", made)
    assert "ada" in found.what and found.remedy.startswith("./inv devices.release pi-1 --anyway")


@pytest.mark.device
def test_phone_is_reserved_while_a_job_holds_its_lock(
    phone_double: PhoneDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = phone_double.entry().model_copy(update={"root": str(tmp_path / "phone")})
    _be(monkeypatch, "ada")
    with open_any(entry, state=tmp_path / "state") as phone, open_any(entry, state=tmp_path / "state") as other:
        with PhoneLock(other.connection, other.root, {"who": "bob"}):
            assert reserve(phone, 7200).is_mine
            holder = phone.holder()
            assert holder is not None and holder["who"] == "bob"
        found = reservation_of(other)
        assert found is not None and found.who == "ada"
