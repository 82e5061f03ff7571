"""The search for the first bad step: halving, what can't be told, and what is not worse at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.farm.versus import Line
from pipeline.bisect import Step, search
from pipeline.compare import Compared


def _compared(verdict: str, valid: bool = True) -> Compared:
    lines = [Line("latency", 1.0, 1.0, 0.0, verdict=cast(Any, verdict))]
    report = SimpleNamespace(valid=valid, problems=["busy"], id="r")
    return cast(Compared, SimpleNamespace(report=report, lines=lines, verdict=verdict if valid else None))


class _Device:
    """Answers by the step's place: worse from `first_bad` on; places in `blind` can't be told."""

    def __init__(self, count: int, first_bad: int, blind: Sequence[int] = ()) -> None:
        self.steps = [Step(str(place), lambda: None) for place in range(count)]
        self.trials = 0
        self._first_bad = first_bad
        self._blind = blind

    def __call__(self, step: Step) -> Compared | bool | None:
        self.trials += 1
        place = int(step.name)
        if place in self._blind:
            return _compared("undecided")
        return _compared("worse" if place >= self._first_bad else "same")


@given(st.integers(1, 60).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_first_bad_step_is_found_in_few_trials(case: tuple[int, int]) -> None:
    count, first_bad = case
    device = _Device(count, first_bad)
    found = search(device.steps, device)
    assert found.first_bad == str(first_bad)
    assert found.suspects == [str(first_bad)]
    assert found.metrics == ["latency"]
    assert device.trials <= 2 + math.ceil(math.log2(count))


def test_last_step_that_is_not_worse_ends_the_search() -> None:
    device = _Device(8, 99)
    found = search(device.steps, device)
    assert found.first_bad is None
    assert device.trials == 1


def test_steps_that_cannot_be_told_are_gone_around_and_named_as_suspects() -> None:
    device = _Device(8, 4, blind=[3, 4])
    found = search(device.steps, device)
    assert found.suspects == ["3", "4", "5"]
    assert found.first_bad == "5"


def test_all_between_untold_are_all_suspects() -> None:
    device = _Device(5, 2, blind=[0, 1, 2, 3])
    assert search(device.steps, device).suspects == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("answer", [None, _compared("worse", valid=False)])
def test_step_without_a_bundle_or_with_an_invalid_report_is_gone_around(answer: Compared | None) -> None:
    steps = [Step(str(place), lambda: None) for place in range(3)]

    def trial(step: Step) -> Compared | bool | None:
        return {"0": False, "1": answer, "2": _compared("worse")}[step.name]

    assert search(steps, trial).suspects == ["1", "2"]


def test_being_worse_in_something_else_is_not_the_change_that_is_looked_for() -> None:
    smaller_accuracy = _compared("same")
    smaller_accuracy.lines.append(Line("accuracy", 0.9, 0.8, -0.1, verdict="worse"))
    steps = [Step(str(place), lambda: None) for place in range(3)]
    found = search(steps, lambda step: _compared("worse") if step.name == "2" else smaller_accuracy)
    assert found.first_bad == "2"
