"""The candidates' turns on a made trainer and clock: in time, resumed after a kill, the same seed the same plan."""

from __future__ import annotations

import json

import pytest

from pipeline.build import StepFailed
from pipeline.search.allocate import Proposal
from pipeline.search.candidates import Candidate, Trained
from pipeline.search.notes import BudgetSpent
from pipeline.search.rungs import OVER
from pipeline.search.space import Choice
from tests.pipeline.search.trainer import BASE, FULL, Started


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
    ideal = min(one.price.ms for one in rungs._front(9) if trainer.most / 3 * (1 - rungs.share(one.choice)) <= 0.01)
    assert min(holding) <= 1.1 * ideal


def test_long_trainings_aim_at_what_caution_allows(started: Started) -> None:
    rungs, _ = started("cautious", 1500.0, most=0.06, allowed=0.005)
    rungs.run()
    best = rungs._best()
    assert best is not None and 0.003 <= rungs.lost(best) <= 0.005
    assert not any(rungs.holds(one) for one in rungs.results() if rungs.lost(one) > 0.005 + 1e-6)


def test_long_trainings_leave_time_for_a_light_one_where_one_can_hold(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, long = [], []
    for bearable in (True, False):
        monkeypatch.setattr("pipeline.search.rungs.bearable", lambda allowed, bearable=bearable: bearable)
        rungs, _ = started(f"left-{bearable}", 500.0, most=0.06)
        rungs.run()
        best = rungs._best()
        assert best is not None
        left.append(
            rungs.until_s - rungs.notes.spent_s - rungs.pace.training_s(rungs.share(best.candidate.choice), FULL)
        )
        long.append(sum(one.candidate.epochs == FULL for one in rungs.results()))
    assert left[0] >= 0 > left[1]
    assert long[0] < long[1]


def test_what_takes_time_beside_the_epochs_is_no_part_of_them(started: Started) -> None:
    rungs, _ = started("answers", 400.0, answers_s=60.0)
    layer = rungs.space.layers[0]
    rungs.train(Candidate(1, Choice((layer,)), 2), None)
    assert rungs.pace.epoch_s == pytest.approx(10, rel=0.2)
    assert rungs.pace.cut_s == pytest.approx(60)


def test_an_allocation_that_takes_long_costs_no_training(started: Started) -> None:
    """What is planned to fill the time that is left is planned once an allocation has taken its own."""
    rungs, trainer = started("slow-allocation", 150.0, most=0.06)
    front = rungs._front

    def slow(round_: int) -> list[Proposal]:
        trainer.clock[0] += 12
        return front(round_)

    rungs._front = slow  # type: ignore[method-assign]
    rungs.run()
    assert max(one.candidate.epochs for one in rungs.results()) > 2
    assert not [one for one in rungs.trained.values() if one.trouble == OVER]


def test_with_little_time_the_first_long_training_comes_before_a_smaller_download(started: Started) -> None:
    rungs, _ = started("first-long", 60.0, most=0.02)
    rungs.run()
    assert max(one.candidate.epochs for one in rungs.results()) == FULL


def test_what_time_is_left_goes_into_shorter_trainings_that_may_hold(started: Started) -> None:
    """A second long one need not have all its epochs, if it is predicted to hold with those that there is time for."""
    rungs, _ = started("short", 340.0, most=0.06)
    rungs.run()
    long = [one.candidate.epochs for one in rungs.trained.values() if one.candidate.epochs > 2]
    assert len(long) > 1
    assert any(2 < epochs < FULL for epochs in long)


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
