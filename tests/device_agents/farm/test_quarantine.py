"""Quarantine: who goes in, who comes back, and that a file that is none stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.farm.quarantine import FILE, NIGHTS, Quarantine


def test_device_goes_in_after_so_many_nights_in_a_row(tmp_path: Path) -> None:
    for night in range(1, NIGHTS):
        assert Quarantine.read(tmp_path).failed("pi-1", "link lost", f"night-{night}") is None
        assert Quarantine.read(tmp_path).of("pi-1") is None
    entry = Quarantine.read(tmp_path).failed("pi-1", "no room", f"night-{NIGHTS}")
    assert entry is not None
    assert (entry.name, entry.why, entry.failures, entry.night) == ("pi-1", "no room", NIGHTS, f"night-{NIGHTS}")
    assert entry.since is not None and entry.since.endswith("Z")
    assert Quarantine.read(tmp_path).of("pi-1") == entry
    assert Quarantine.read(tmp_path).inside == [entry]
    assert Quarantine.read(tmp_path).of("pi-2") is None


def test_night_in_which_nothing_worked_is_enough(tmp_path: Path) -> None:
    assert Quarantine.read(tmp_path).failed("pi-1", "unreachable", "night-1", wholly=True) is not None


def test_night_that_is_gone_on_with_counts_once(tmp_path: Path) -> None:
    for _ in range(NIGHTS):
        assert Quarantine.read(tmp_path).failed("pi-1", "link lost", "night-1") is None


def test_since_stays_when_it_fails_again(tmp_path: Path) -> None:
    first = Quarantine.read(tmp_path).failed("pi-1", "a", "night-1", wholly=True)
    again = Quarantine.read(tmp_path).failed("pi-1", "b", "night-2")
    assert first is not None and again is not None
    assert (again.since, again.why, again.failures) == (first.since, "b", 2)


def test_doctor_that_passes_brings_it_back_and_nothing_is_held_against_it(tmp_path: Path) -> None:
    found = Quarantine.read(tmp_path)
    found.failed("pi-1", "link lost", "night-1", wholly=True)
    assert found.passed("pi-1")
    assert found.of("pi-1") is None and not found.passed("pi-1")
    assert Quarantine.read(tmp_path).failed("pi-1", "link lost", "night-2") is None


def test_good_night_breaks_the_row(tmp_path: Path) -> None:
    found = Quarantine.read(tmp_path)
    for night in range(NIGHTS - 1):
        found.failed("pi-1", "link lost", f"night-{night}")
    assert not found.passed("pi-1")
    assert found.failed("pi-1", "link lost", "another night") is None


def test_two_nights_of_one_host_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, two = Quarantine.read(tmp_path), Quarantine.read(tmp_path)
    one.failed("pi-1", "a", "night-1", wholly=True)
    two.failed("pi-2", "b", "night-2", wholly=True)
    assert [entry.name for entry in Quarantine.read(tmp_path).inside] == ["pi-1", "pi-2"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": "edgewright-quarantine/2", "devices": []}',
        '{"schema": "edgewright-quarantine/1", "devices": [{"name": "pi-1"}]}',
        '{"schema": "edgewright-quarantine/1", "devices": [{"name": 5, "since": null, "why": "", "failures": 1,'
        ' "night": ""}]}',
    ],
)
def test_file_that_is_none_is_an_empty_quarantine_with_a_problem(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    found = Quarantine.read(tmp_path)
    assert found.inside == [] and found.problem is not None and FILE in found.problem
    assert found.failed("pi-1", "link lost", "night-1", wholly=True) is not None
    assert Quarantine.read(tmp_path).problem is None


def test_state_that_cannot_be_written_keeps_the_night_going(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = Quarantine.read(tmp_path / "file" / "state")
    assert found.failed("pi-1", "link lost", "night-1", wholly=True) is not None
    assert found.problem is not None
    assert found.passed("pi-1")


def test_what_a_device_said_is_kept_printable(tmp_path: Path) -> None:
    entry = Quarantine.read(tmp_path).failed("pi-1", "bad\x1b[31m\nword" * 100, "night-1", wholly=True)
    assert entry is not None and entry.why.isprintable() and len(entry.why) <= 300
