"""The search for the first bad step: halving, what can't be told, what is not worse at all, what is told of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.bundle import Bundle
from device_agents.errors import DeviceBusy
from device_agents.farm.versus import Line
from pipeline.bisect import Found, Trial, search, text
from pipeline.compare import Compared
from pipeline.history import Step

HOSTILE = "evil\x1b[31m\nname"


def compared(verdict: str, valid: bool = True, metric: str = "latency") -> Compared:
    lines = [Line("latency", 1.0, 1.0, 0.0, verdict="same")] if metric != "latency" else []
    lines.append(Line(metric, 1.0, 1.0, 0.0, verdict=cast(Any, verdict)))
    report = SimpleNamespace(valid=valid, problems=[] if valid else ["busy"], id="r")
    return cast(Compared, SimpleNamespace(report=report, lines=lines))


def steps_of(count: int) -> list[Step]:
    return [Step(str(place), lambda: cast(Bundle, None)) for place in range(count)]


class _Device:
    """Answers by the step's place: worse from `first_bad` on; places in `blind` can't be told."""

    def __init__(self, count: int, first_bad: int, blind: Sequence[int] = ()) -> None:
        self.steps = steps_of(count)
        self.trials = 0
        self._first_bad = first_bad
        self._blind = blind

    def __call__(self, step: Step) -> Compared | bool | None:
        self.trials += 1
        place = int(step.name)
        if place in self._blind:
            return compared("undecided")
        return compared("worse" if place >= self._first_bad else "same")


def searched(steps: Sequence[Step], trial: Trial, anyway: bool = False) -> Found:
    return search(steps, trial, Found("good"), anyway)


@given(st.integers(1, 60).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_first_bad_step_is_found_in_few_trials(case: tuple[int, int]) -> None:
    count, first_bad = case
    device = _Device(count, first_bad)
    found = searched(device.steps, device)
    assert (found.verdict, found.first_bad, found.suspects) == ("worse", str(first_bad), [str(first_bad)])
    assert found.metrics == ["latency"]
    assert (found.good, found.bad) == (str(first_bad - 1) if first_bad else "good", str(first_bad))
    assert device.trials <= 2 + math.ceil(math.log2(count))


@given(st.data())
def test_truth_is_among_the_suspects_whatever_cannot_be_told(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    first_bad = data.draw(st.integers(0, count - 1))
    blind = data.draw(st.lists(st.integers(0, count - 2), unique=True)) if count > 1 else []
    device = _Device(count, first_bad, blind)
    found = searched(device.steps, device)
    assert str(first_bad) in found.suspects
    assert set(found.suspects) - {found.first_bad} <= set(map(str, blind))


def test_last_step_that_is_not_worse_ends_the_search() -> None:
    device = _Device(8, 99)
    found = searched(device.steps, device)
    assert (found.verdict, found.first_bad, device.trials) == ("same", None, 1)


@pytest.mark.parametrize("last", [compared("undecided"), compared("worse", valid=False), None])
def test_last_step_that_cannot_be_told_is_not_called_the_same(last: Compared | None) -> None:
    found = searched(steps_of(1), lambda step: last)
    assert (found.verdict, found.first_bad) == ("undecided", None)
    assert found.problems == ([] if last is None or last.report.valid else ["busy"])


def test_last_steps_without_a_bundle_are_gone_around() -> None:
    device = _Device(8, 2)
    found = searched(device.steps, lambda step: None if int(step.name) >= 6 else device(step))
    assert (found.first_bad, found.suspects) == ("2", ["2"])


def test_steps_that_cannot_be_told_are_gone_around_and_named_as_suspects() -> None:
    device = _Device(8, 4, blind=[3, 4])
    found = searched(device.steps, device)
    assert found.suspects == ["3", "4", "5"]
    assert found.first_bad == "5"


@pytest.mark.parametrize("answer", [None, compared("worse", valid=False)])
def test_step_without_a_bundle_or_with_an_invalid_report_is_gone_around(answer: Compared | None) -> None:
    answers = [False, answer, compared("worse")]
    assert searched(steps_of(3), lambda step: answers[int(step.name)]).suspects == ["1", "2"]


def test_invalid_reports_count_where_it_was_measured_anyway_and_are_told() -> None:
    answers = [compared("same", valid=False), compared("worse", valid=False), compared("worse")]
    found = searched(steps_of(3), lambda step: answers[int(step.name)], anyway=True)
    assert (found.first_bad, found.suspects, found.problems) == ("1", ["1"], ["busy"])


def test_being_worse_in_something_else_is_not_the_change_that_is_looked_for() -> None:
    worse_accuracy = compared("worse", metric="accuracy")
    found = searched(steps_of(3), lambda step: compared("worse") if step.name == "2" else worse_accuracy)
    assert (found.first_bad, found.metrics) == ("2", ["latency"])


@pytest.mark.parametrize(("high", "suspects"), [(0.2, ["1"]), (0.3, ["0", "1"]), (None, ["0", "1"])])
def test_undecided_step_that_is_far_from_the_sought_change_is_not_bad(high: float | None, suspects: list[str]) -> None:
    first, last = compared("undecided"), compared("worse")
    first.lines[0] = Line("latency", 1.0, 1.02, 0.02, -0.02, high, "undecided")
    last.lines[0] = Line("latency", 1.0, 1.5, 0.5, 0.48, 0.52, "worse")
    assert searched(steps_of(2), lambda step: last if step.name == "1" else first).suspects == suspects


def test_only_what_got_worse_at_the_first_bad_step_is_named() -> None:
    both = compared("worse")
    both.lines.append(Line("size", 1.0, 2.0, 1.0, verdict="worse"))
    answers: list[Compared | bool | None] = [False, compared("worse", metric="size"), both]
    found = searched(steps_of(3), lambda step: answers[int(step.name)])
    assert (found.first_bad, found.metrics) == ("1", ["size"])
    both_first: list[Compared | bool | None] = [False, both, compared("worse")]
    assert searched(steps_of(3), lambda step: both_first[int(step.name)]).metrics == ["latency"]


def test_device_that_vanishes_leaves_what_was_found_so_far() -> None:
    device, found = _Device(16, 5), Found("good")

    def trial(step: Step) -> Compared | bool | None:
        if device.trials == 3:
            raise DeviceBusy("It is busy.", remedy="wait")
        return device(step)

    with pytest.raises(DeviceBusy):
        search(device.steps, trial, found)
    assert (found.verdict, found.good, found.bad, len(found.tried)) == ("unfinished", "3", "7", 3)
    said = "\n".join(text(found))
    assert "after 3, with 7 at the latest" in said
    assert "the same command with --good 3 --bad 7" in said


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Found("g"), "nothing is known yet"),
        (Found("g", verdict="undecided"), "more time (--budget)"),
        (Found("g", verdict="undecided", problems=[HOSTILE]), "INVALID: it rests on figures"),
        (Found("g", verdict="same"), "nothing got worse"),
        (Found("g", "b", "worse", HOSTILE, [HOSTILE], ["latency"]), "first bad  evil?[31m name: worse in latency"),
        (Found("g", "b", "worse", "2", [HOSTILE, "2"], ["size"]), "or         evil?[31m name, which can't be told"),
    ],
)
def test_end_is_told_in_plain_lines(found: Found, says: str) -> None:
    lines = text(found)
    assert any(says in line for line in lines), lines
    assert all(line.isprintable() for line in lines)
