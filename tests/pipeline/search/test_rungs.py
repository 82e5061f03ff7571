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
from pipeline.search.pace import ROUNDS, Pace
from pipeline.search.pricing import Pricing, Thumb
from pipeline.search.rungs import DENSE, GONE, LONG, OVER, ZEROS, Rungs
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space
from tests.pipeline.search.conftest import WAYS

BASE, FULL = 0.93, 9


@dataclass
class Trainer:
    """Stands in for the workshop: lost is a share of what goes (`most` of it all), less with more epochs; time is a
    clock's."""

    space: Space
    watched: Watched
    clock: list[float]
    epoch_s: float = 10.0
    most: float = 0.03
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
        lost = self.most * (1 - share) / candidate.epochs**0.5
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
    long = [one for one in rungs.trained.values() if one.candidate.epochs == FULL and not one.candidate.sparsity]
    assert len(long) > 1
    holding = [rungs.pricing.best(one.candidate.choice).ms for one in long if BASE - (one.validation or 0) <= 0.01]
    ideal = min(one.price.ms for one in rungs._front(9) if trainer.most / 3 * (1 - rungs._share(one.choice)) <= 0.01)
    assert min(holding) <= 1.1 * ideal


def test_zeros_go_to_what_they_make_smallest(started: Started) -> None:
    rungs, _ = started("zeros", 2000.0, most=0.06)
    rungs.run()
    (sparse,) = [one.candidate for one in rungs.trained.values() if one.candidate.sparsity]
    sizes = [rungs.pricing.best(one.candidate.choice).bytes for one in rungs._holding()]
    promised = rungs.pricing.best(sparse.choice).bytes * (1 - GONE * sparse.sparsity)
    assert promised < DENSE * min(sizes)
    assert promised == min(
        one.price.bytes * (1 - GONE * zeros)
        for one in rungs._pool(ROUNDS + LONG)
        for zeros, cost in ZEROS
        if one.lost + cost <= 0.01
    )
    assert sparse.epochs == FULL


def test_no_zeros_where_nothing_can_bear_them(started: Started) -> None:
    rungs, _ = started("none", 1500.0, most=0.06)
    rungs.asked = Constraints(0.0001)
    rungs.run()
    assert not [one for one in rungs.trained.values() if one.candidate.sparsity]


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
