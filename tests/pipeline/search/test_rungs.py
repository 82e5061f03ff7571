"""The candidates' turns on a made trainer and clock: in time, resumed after a kill, the same seed the same plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from edgewright.progress import Silent
from pipeline.build import StepFailed
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.search.candidates import Candidate, Trained, Workshop
from pipeline.search.constraints import Constraints
from pipeline.search.forecast import Forecast
from pipeline.search.looking import Looking
from pipeline.search.notes import BudgetSpent, Notes, Watched
from pipeline.search.pace import Pace
from pipeline.search.pricing import Pricing, Thumb
from pipeline.search.rungs import LIGHT, OVER, Rungs
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space
from tests.pipeline.search.conftest import WAYS

BASE, FULL = 0.93, 9


@dataclass
class Trainer:
    """Stands in for the workshop: lost is a share of what goes (`most` of it all), less with more epochs, and `dear`
    more in a light form; time is a clock's."""

    space: Space
    watched: Watched
    clock: list[float]
    epoch_s: float = 10.0
    most: float = 0.03
    dear: float = 0.0
    stop_at: int = 10_000
    spoilt: Sequence[int] = ()
    names: list[str] = field(default_factory=list)

    def train(self, candidate: Candidate) -> Trained:
        if len(self.names) >= self.stop_at:
            raise KeyboardInterrupt
        if candidate.number in self.spoilt:
            raise ImpossibleRatio("it can't be cut", where="shrink", remedy="none")
        share = self.space.size(candidate.choice).macs / self.space.size(Choice()).macs
        for _ in range(candidate.epochs):
            self.clock[0] += self.epoch_s * (0.15 + 0.85 * share)
            self.watched.advance()
        self.names.append(candidate.name)
        lost = self.most * (1 - share) / candidate.epochs**0.5 + (self.dear if candidate.light else 0.0)
        return Trained(candidate, BASE - lost, candidate.epochs * self.epoch_s * (0.15 + 0.85 * share))


Started = Callable[..., tuple[Rungs, Trainer]]


@pytest.fixture
def started(space: Space, felt: Sensitivity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Rungs over a folder: started(folder name, seconds, **of the trainer)."""
    monkeypatch.setattr("pipeline.search.rungs.trials", lambda budget_s: 60)

    def start(name: str, seconds: float, clock: list[float] | None = None, **told: Any) -> tuple[Rungs, Trainer]:
        ticking = clock or [0.0]
        notes = Notes(tmp_path / name, lambda: ticking[0])
        watched = Watched(Silent(), notes)
        trainer = Trainer(space, watched, ticking, **told)
        rungs = Rungs(
            space=space, workshop=cast(Workshop, trainer), looking=cast(Looking, None),
            pricing=Pricing(space, WAYS, {"litert": Thumb(space.left(Choice()), {"float32": 0.2, "int8": 0.08})}),
            forecast=Forecast(space, felt, BASE, FULL), asked=Constraints(0.01), notes=notes, watched=watched,
            # A session longer than a tenth of the budget: the looks are left out.
            pace=Pace(10.0, 1.0, 1.0, look_s=seconds), base=BASE, base_variant="trained", until_s=seconds,
            budget_s=seconds, seed=0, note=lambda line: None,
        )  # fmt: skip
        return rungs, trainer

    return start


def test_training_ends_in_time_and_the_best_were_trained_longest(started: Started) -> None:
    rungs, trainer = started("a", 400.0)
    rungs.run()
    assert trainer.clock[0] <= 400 + 10
    lengths = {one.candidate.epochs for one in rungs.trained.values()}
    assert {2, 9} <= lengths
    best = [one for one in rungs.results() if BASE - (one.validation or 0) <= 0.01]
    assert max(one.candidate.epochs for one in best) == 9


def test_long_trainings_come_close_to_the_fastest_that_holds(started: Started) -> None:
    """What loses at most half of the MACs holds: predictions begin far off, and each long training corrects them."""
    rungs, trainer = started("close", 1500.0, most=0.06)
    rungs.run()
    long = [one for one in rungs.trained.values() if one.candidate.epochs == FULL and not one.candidate.light]
    assert len(long) > 1
    holding = [rungs.pricing.best(one.candidate.choice).ms for one in long if BASE - (one.validation or 0) <= 0.01]
    ideal = min(one.price.ms for one in rungs._front(9) if trainer.most / 3 * (1 - rungs._share(one.choice)) <= 0.01)
    assert min(holding) <= 1.1 * ideal


def test_lightest_that_is_promised_is_trained_until_nothing_promises_less(started: Started) -> None:
    rungs, _ = started("light", 2000.0, most=0.06)
    rungs.run()
    light = [one for one in rungs.trained.values() if one.candidate.light]
    assert 1 <= len(light) <= LIGHT
    assert {one.candidate.epochs for one in light} == {FULL}
    dense = [rungs.download(one) for one in rungs._holding()]
    assert min(rungs.download(one) for one in light) < min(dense)
    assert len({one.candidate.name for one in light}) == len(light)


def test_what_a_form_cost_is_learnt_from(started: Started) -> None:
    """Few values that cost far more than was thought: the next one trained is of a form that is thought to cost less,
    or of a network with more to spare."""
    rungs, trainer = started("dear", 3000.0, most=0.06, dear=0.02)
    rungs.run()
    light = [one for one in rungs.trained.values() if one.candidate.light]
    assert light and not [one for one in light if rungs.lost(one) <= 0.01]
    assert len({(one.candidate.choice, one.candidate.form) for one in light}) == len(light)
    first, *later = sorted(light, key=lambda one: trainer.names.index(one.candidate.name))
    assert all(rungs.download(one) > rungs.download(first) for one in later)


def test_no_lighter_one_where_nothing_can_bear_it(started: Started) -> None:
    rungs, _ = started("none", 1500.0, most=0.06)
    rungs.asked = Constraints(0.0001)
    rungs.run()
    assert not [one for one in rungs.trained.values() if one.candidate.light]


def test_killed_at_any_candidate_it_goes_on_to_the_same(started: Started) -> None:
    whole, trainer = started("whole", 300.0)
    whole.run()
    clock = [0.0]
    done: list[str] = []
    for stop in (1, 2, 1, 1000):
        rungs, part = started("parts", 300.0, clock, stop_at=stop)
        try:
            rungs.run()
        except KeyboardInterrupt:
            rungs.notes.keep_time()
        done += part.names
        clock[0] = 0.0  # the next process's clock starts anew; the notes know what was spent
    assert done == trainer.names
    assert {name: one.validation for name, one in rungs.trained.items()} == {
        name: one.validation for name, one in whole.trained.items()
    }


def test_the_same_seed_gives_the_same_plan(started: Started) -> None:
    plans = []
    for name in ("one", "two"):
        rungs, trainer = started(name, 200.0)
        rungs.run()
        plans.append((trainer.names, json.dumps([one.to_json() for one in rungs.results()])))
    assert plans[0] == plans[1]


def test_a_tiny_budget_still_trains_one_candidate(started: Started) -> None:
    rungs, trainer = started("tiny", 1.0)
    rungs.run()
    assert len(trainer.names) == 1
    assert rungs.results()


def test_training_past_its_time_is_cut_off_and_not_counted(started: Started) -> None:
    rungs, _ = started("slow", 200.0, epoch_s=80.0)
    rungs.run()
    assert rungs.notes.spent_s <= 200 + 2 * 80
    assert all(one.trouble in (None, OVER) for one in rungs.trained.values())
    assert all(one.trouble is None for one in rungs.results())


def test_a_candidate_that_cannot_be_cut_takes_no_other_down(started: Started) -> None:
    rungs, trainer = started("spoilt", 300.0, spoilt=[2])
    rungs.run()
    assert len(trainer.names) > 2
    troubles = [one.trouble for one in rungs.trained.values() if one.candidate.number == 2]
    assert troubles
    assert set(troubles) == {"it can't be cut"}


def test_a_step_that_fails_takes_no_other_down_but_a_full_disk_ends_the_search(started: Started) -> None:
    rungs, trainer = started("failing", 300.0)
    train, causes = trainer.train, {1: ValueError("NaN"), 2: OSError("no space left")}

    def failing(candidate: Candidate) -> Trained:
        if candidate.number in causes:
            raise StepFailed("the step failed") from causes[candidate.number]
        return train(candidate)

    trainer.train = failing  # type: ignore[method-assign]
    with pytest.raises(StepFailed):
        rungs.run()
    assert [(one.candidate.number, one.trouble) for one in rungs.trained.values()] == [(1, "the step failed")]


def test_watched_work_raises_budget_spent(started: Started) -> None:
    rungs, trainer = started("over", 50.0)
    rungs.watched.until = 5.0
    with pytest.raises(BudgetSpent):
        trainer.train(Candidate(1, Choice(), 3))
