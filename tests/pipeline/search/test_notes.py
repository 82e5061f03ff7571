"""A search remembers: what was decided once is read ever after, and its time is counted over all its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.progress import Silent, piece
from pipeline.search.notes import BudgetSpent, Notes, Watched


class Clock:
    """Seconds that a test turns on."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_once_makes_a_note_only_once_also_in_another_run(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"n": len(made)}

    assert Notes(tmp_path).once("a/b", make) == {"n": 1}
    assert Notes(tmp_path).once("a/b", make) == {"n": 1}
    assert made == [1]


def test_time_of_earlier_runs_counts(tmp_path: Path) -> None:
    clock = Clock()
    first = Notes(tmp_path, clock)
    clock.at += 30
    first.tick()
    clock.at += 1  # killed one second after the last note of the time
    second = Notes(tmp_path, Clock())
    assert second.spent_s == pytest.approx(30, abs=0.2)


def test_a_damaged_note_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"n": ')
    assert Notes(tmp_path).once("a", lambda: 7) == 7


def test_work_past_its_time_is_ended(tmp_path: Path) -> None:
    clock = Clock()
    watched = Watched(Silent(), Notes(tmp_path, clock))
    watched.until = 10.0
    watched.advance()
    clock.at += 11
    with pytest.raises(BudgetSpent):
        watched.advance()
    watched.until = None
    watched.advance()


def test_epochs_of_fine_tunings_are_timed_as_if_all_were_run_here(tmp_path: Path) -> None:
    clock = Clock()
    watched = Watched(Silent(), Notes(tmp_path, clock))

    def work(what: str, done: float, seconds: float) -> None:
        clock.at += 50  # the teacher's answers
        with piece(watched, what, 100.0):
            watched.advance(done)
            clock.at += seconds
            watched.advance(100.0 - done)

    work("distil", 0.0, 20.0)
    assert watched.epochs_s == 20
    work("distil", 75.0, 5.0)  # a killed search had done three quarters
    assert watched.epochs_s == 40
    work("distil", 100.0, 1.0)
    work("measure", 0.0, 9.0)
    assert watched.epochs_s == 40
