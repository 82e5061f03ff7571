"""Candidates that nobody trains, on a made trainer and clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.search.allocate import Proposal
from pipeline.search.candidates import Candidate
from pipeline.search.pace import FEW
from pipeline.search.rungs import Rungs
from pipeline.search.space import Choice
from pipeline.search.untrained import AIMS, Untrained
from tests.pipeline.search.trainer import FULL, Started


def test_rows_that_nobody_uses_go_alone_first_and_cost_no_training(started: Started) -> None:
    rungs, trainer = started("words", 300.0)
    rungs.space = replace(rungs.space, rows={"words": 10})
    Untrained(rungs).run()
    assert trainer.names == ["c01-e0"]
    first = rungs.trained["c01-e0"]
    assert first.candidate.choice == Choice()
    # It does not stand for what training takes, nor for what it reaches.
    assert rungs.pace.epoch_s == 10
    assert rungs.forecast.seen == {}
    assert rungs._best() is None
    rungs.run()
    assert trainer.names.count("c01-e0") == 1
    best = rungs._best()
    assert best is not None and best.candidate.epochs


def test_rows_that_go_alone_may_be_trained_after_all_and_the_better_one_counts(started: Started) -> None:
    for name, bare, kept in (("worse", -0.01, {0}), ("better", 0.01, {1, 2, FULL})):
        rungs, _ = started(f"words-{name}", 400.0, most=0.5, bare=bare)
        rungs.space = replace(rungs.space, rows={"words": 10})
        Untrained(rungs).run()
        rungs.run()
        assert {one.candidate.epochs for one in rungs.trained.values() if one.candidate.choice == Choice()} > {0}
        alone = [one.candidate for one in rungs.results() if one.candidate.choice == Choice()]
        assert len(alone) == 1 and alone[0].epochs in kept


@pytest.mark.parametrize(("bare", "trained"), [(0.0, 0), (0.5, 1)])
def test_a_tiny_budget_trains_one_only_where_rows_alone_do_not_hold(
    started: Started, bare: float, trained: int
) -> None:
    rungs, trainer = started(f"tiny-{bare}", 1.0, bare=bare)
    rungs.space = replace(rungs.space, rows={"words": 10})
    trainer.clock[0] = 2.0
    Untrained(rungs).run()
    rungs.run()
    assert [one.candidate.epochs > 0 for one in rungs.results()] == [False, True][: 1 + trained]
    # None is begun that would be cut off at once.
    assert len([one for one in rungs.trained.values() if one.candidate.epochs]) == trained


def _briefly(rungs: Rungs) -> Rungs:
    """The same where fine-tuning is short, and two points may be lost."""
    rungs.forecast.full, rungs.allowed = FEW - 1, 0.02
    return rungs


def test_where_fine_tuning_is_short_cuts_are_tried_without_any(started: Started) -> None:
    rungs, trainer = started("brief", 2000.0, most=0.02)
    Untrained(_briefly(rungs)).run()
    assert 1 <= len(trainer.names) <= len(AIMS) and all(name.endswith("-e0") for name in trainer.names)
    assert not any(one.candidate.choice.nothing for one in rungs.trained.values())
    assert any(rungs.lost(one) <= rungs.allowed for one in rungs.results())


def test_what_cuts_lose_together_makes_the_next_ones_milder(started: Started) -> None:
    """The first loses far more than was predicted: what is predicted to lose as much as it may is less of it."""
    rungs, _ = started("together", 2000.0, most=0.3)
    _briefly(rungs).allowed = 0.06
    Untrained(rungs).run()
    first, *later = rungs.trained.values()
    predicted = rungs.predicted[first.candidate.name]["lost"]
    assert predicted <= rungs.allowed
    assert rungs.lost(first) > 2 * rungs.allowed
    assert later and all(rungs.lost(one) < rungs.lost(first) for one in later)


def test_long_fine_tuning_or_no_time_tries_none(started: Started) -> None:
    rungs, trainer = started("long", 2000.0)
    assert rungs.forecast.full > FEW
    Untrained(rungs).run()
    rungs, late = started("late", 2000.0)
    late.clock[0] = rungs.until_s + 1
    Untrained(_briefly(rungs)).run()
    assert trainer.names == late.names == []


def test_rows_that_lose_all_that_may_be_lost_leave_nothing_to_cut(started: Started) -> None:
    rungs, trainer = started("rows", 2000.0, bare=0.03)
    rungs.space = replace(rungs.space, rows={"words": 10})
    Untrained(_briefly(rungs)).run()
    assert trainer.names == ["c01-e0"]


def test_cut_that_fails_is_not_tried_again(started: Started) -> None:
    rungs, trainer = started("fails", 2000.0, most=0.02, spoilt=[1])
    Untrained(_briefly(rungs)).run()
    assert rungs.trained["c01-e0"].trouble
    told = [rungs.notes.read(f"untrained-{place}")["candidates"] for place in range(len(AIMS))]
    choices = [str(one["choice"]) for candidates in told for one in candidates]
    assert trainer.names and len(set(choices)) == len(choices)


@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_killed_among_them_it_goes_on_as_if_it_had_not_been(started: Started, stop_at: int) -> None:
    whole, _ = started("whole", 400.0, most=0.1)
    Untrained(_briefly(whole)).run()
    whole.run()
    clock = [0.0]
    killed, _ = started(f"killed-{stop_at}", 400.0, clock, most=0.1, stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        Untrained(_briefly(killed)).run()
        killed.run()
    killed.notes.keep_time()
    again, _ = started(f"killed-{stop_at}", 400.0, clock, most=0.1)
    Untrained(_briefly(again)).run()
    again.run()
    assert {name: one.candidate for name, one in again.trained.items()} == {
        name: one.candidate for name, one in whole.trained.items()
    }
    assert any(not one.candidate.epochs for one in again.trained.values())


def test_what_holds_without_training_is_trained_for_long_or_not_at_all(started: Started) -> None:
    rungs, _ = started("then", 600.0, most=0.02)
    Untrained(_briefly(rungs)).run()
    spared = {one.candidate.choice for one in rungs.trained.values()}
    rungs.run()
    lengths = {one.candidate.epochs for one in rungs.trained.values() if one.candidate.choice in spared}
    assert spared and lengths <= {0, 2, 3}


def test_what_was_tried_without_training_is_not_proposed_for_a_short_one(started: Started) -> None:
    found: list[Candidate] = []
    for tried in (False, True):
        rungs, _ = started(f"proposed-{tried}", 600.0, most=0.001)
        _briefly(rungs)
        if tried:
            choice = found[0].choice
            (bare,) = rungs.taken(rungs.told([Proposal(choice, 0.0, rungs.pricing.best(choice))], 0))
            rungs.train(bare, None)
        rungs.run()
        found.append(rungs.taken(rungs.notes.read("round-0"))[0])
    assert found[0].epochs == found[1].epochs == 1
    assert found[0].choice != found[1].choice


@pytest.mark.parametrize(("harm", "seen"), [(0.03, True), (0.0, False)])
def test_training_that_does_harm_shows_what_going_without_does(started: Started, harm: float, seen: bool) -> None:
    rungs, _ = started("harm", 2000.0, most=0.001, harm=harm)
    _briefly(rungs).run()
    trained = [one for one in rungs.trained.values() if one.candidate.epochs]
    bare = [one for one in rungs.trained.values() if not one.candidate.epochs]
    assert trained and bool(bare) == seen
    assert all(rungs.lost(one) < 0.002 for one in rungs.results() if one.candidate in [two.candidate for two in bare])
