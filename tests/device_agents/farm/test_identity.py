"""Which board is meant by a name: the first that answers, until a person says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.identity import FILE, BoardsFileError, check, identity, known, met, remember, replaced
from device_agents.farm.report import Report
from tests.device_agents.farm.ledger import made

OLD, NEW = "ab" * 8, "cd" * 8


@pytest.mark.parametrize("told", [None, "", "AB" * 8, "ab" * 7, "ab" * 9, 7, ["ab" * 8], "ab" * 8 + "\n"])
def test_what_is_no_digest_is_no_identity(told: Any) -> None:
    assert identity({"identity": told}) is None
    assert identity({}) is None


def test_first_answer_is_remembered_and_another_board_is_told(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert known(state, "pi-1") is None
    assert met(state, "pi-1", OLD) is None
    assert met(state, "pi-1", OLD) is None
    assert met(state, "pi-1", NEW) == OLD
    assert known(state, "pi-1") == OLD
    what, remedy = replaced("pi-1", OLD, NEW)
    assert "abababab" in what and "cdcdcdcd" in what and remedy.startswith("./inv devices.adopt pi-1")


def test_board_that_tells_nothing_is_taken_for_the_one_that_is_meant(tmp_path: Path) -> None:
    assert met(tmp_path, "pi-1", None) is None
    assert known(tmp_path, "pi-1") is None
    remember(tmp_path, "pi-1", OLD)
    assert met(tmp_path, "pi-1", None) is None


def test_adopted_board_is_the_one_that_is_meant_and_others_stay(tmp_path: Path) -> None:
    remember(tmp_path, "pi-1", OLD)
    remember(tmp_path, "pi-2", OLD)
    remember(tmp_path, "pi-1", NEW)
    assert (known(tmp_path, "pi-1"), known(tmp_path, "pi-2")) == (NEW, OLD)
    assert met(tmp_path, "pi-1", OLD) == NEW


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "edgewright-boards/1", "boards": {"pi-1": 5}}', '{"schema": 2, "boards": {}}']
)
def test_file_that_is_none_is_said_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BoardsFileError) as caught:
        known(tmp_path, "pi-1")
    assert caught.value.remedy.startswith("rm ")
    with pytest.raises(BoardsFileError):
        remember(tmp_path, "pi-1", OLD)
    assert (tmp_path / FILE).read_text() == text


def _report(identity: str | None, **device: Any) -> Report:
    report = made.report(identity=identity)
    report.device |= device
    return report


def test_report_of_another_board_says_so(tmp_path: Path) -> None:
    first, again, other = _report(OLD), _report(OLD), _report(NEW)
    for report in (first, again, other):
        check(tmp_path, report)
    assert first.warnings == again.warnings == made.report().warnings
    (warning,) = other.warnings[len(first.warnings) :]
    assert "another board answers as kitchen-pi" in warning and "./inv devices.adopt kitchen-pi" in warning
    assert other.valid == first.valid


def test_what_is_no_board_is_not_remembered(tmp_path: Path) -> None:
    for device in ({"name": "this machine"}, {"name": "host"}, {"emulated": True}, {"stand_in": True}, {"name": None}):
        for board in (OLD, NEW, None):
            report = _report(board, **device)
            check(tmp_path, report)
            assert report.warnings == made.report().warnings
    assert not (tmp_path / FILE).exists()


def test_file_that_is_none_costs_no_report(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("garbage")
    report = _report(OLD)
    check(tmp_path, report)
    assert "can't be read" in report.warnings[-1]


def test_state_that_cannot_be_written_costs_no_report(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = _report(OLD)
    check(tmp_path / "file" / "state", report)
    assert "kitchen-pi" in report.warnings[-1] or "can't be read" in report.warnings[-1]
