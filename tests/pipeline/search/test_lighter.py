"""The candidates whose download promises to be the smallest, on a made trainer and clock."""

from __future__ import annotations

import pytest

from pipeline.search.candidates import Candidate
from pipeline.search.constraints import Constraints
from pipeline.search.light import AS_IT_IS
from pipeline.search.lighter import MOST, Lighter
from pipeline.search.rungs import OVER, Rungs
from pipeline.search.space import Choice
from tests.pipeline.search.trainer import FULL, Started


def _searched(rungs: Rungs) -> list[Candidate]:
    """The light ones that were proposed, one after another."""
    rungs.run()
    Lighter(rungs).run()
    told = [rungs.notes.read(f"light-{place}") for place in range(MOST)]
    return [Candidate.from_json(one) for content in told if content for one in content["candidates"]]


def test_lightest_that_is_promised_is_trained_until_nothing_promises_less(started: Started) -> None:
    rungs, _ = started("light", 2000.0, most=0.06)
    found = _searched(rungs)
    assert 1 <= len(found) <= MOST
    assert {one.epochs for one in found} == {FULL} and AS_IT_IS not in {one.form for one in found}
    lighter = Lighter(rungs)
    dense = [lighter.download(one) for one in rungs._holding()]
    assert lighter.download(lighter.lightest(1)[0]) < min(dense)
    sizes = [lighter.download(rungs.trained[one.name]) for one in found]
    held = [size for one, size in zip(found, sizes, strict=True) if rungs.holds(rungs.trained[one.name])]
    assert held == sorted(held, reverse=True), "each is to be smaller than what holds by then"


def test_what_a_form_cost_is_learnt_from(started: Started) -> None:
    """Few values that cost more than was thought: what is tried next is larger, in the hope that it holds."""
    rungs, _ = started("dear", 4000.0, most=0.06, dear=0.012)
    first, *later = _searched(rungs)
    assert later
    lighter = Lighter(rungs)
    assert not rungs.holds(rungs.trained[first.name])
    smallest = lighter.download(rungs.trained[first.name])
    assert all(lighter.download(rungs.trained[one.name]) > smallest for one in later)


def test_form_that_failed_is_not_tried_again(started: Started) -> None:
    rungs, _ = started("failing", 4000.0, most=0.06, spoilt=["light"])
    found = _searched(rungs)
    assert len(found) == len({(one.choice, one.form) for one in found}) == MOST
    assert {rungs.trained[one.name].trouble for one in found} == {"it can't be cut"}
    assert Lighter(rungs).lightest(3) == []


def test_no_lighter_one_where_nothing_can_bear_it(started: Started) -> None:
    rungs, _ = started("none", 1500.0, most=0.06)
    rungs.asked, rungs.allowed = Constraints(0.0001), 0.0001
    assert _searched(rungs) == []


def test_what_is_too_slow_or_too_large_is_not_made_lighter(started: Started) -> None:
    free, _ = started("free", 3000.0, most=0.06)
    found = _searched(free)
    slowest = max(free.pricing.best(one.choice).ms for one in found)
    bound, _ = started("bound", 3000.0, most=0.06)
    bound.asked = Constraints(0.01, max_ms=0.9 * slowest)
    assert all(bound.pricing.best(one.choice).ms <= 0.9 * slowest for one in _searched(bound))


def test_whole_network_is_offered_by_what_it_loses_itself(started: Started) -> None:
    """Where unused rows of embeddings go in any case, the whole network is a candidate that may lose something too."""
    rungs, _ = started("whole", 300.0)
    assert Lighter(rungs)._pool[0].proposal.lost == 0
    rungs.forecast.learn(Choice(), FULL, 0.004)
    offer = Lighter(rungs)._pool[0]
    assert offer.proposal.choice == Choice()
    assert offer.proposal.lost == rungs.forecast.usual(Choice()) > 0
    assert (offer.share, offer.fixed) == (1.0, 0.0)


@pytest.mark.parametrize("seconds", [250.0, 300.0, 350.0, 400.0])
def test_light_one_takes_longer_and_is_not_cut_off(started: Started, seconds: float) -> None:
    rungs, trainer = started(f"longer-{seconds:g}", seconds, most=0.06, slower=1.3)
    rungs.run()
    before = rungs.pace.epoch_s
    Lighter(rungs).run()
    light = [one for one in rungs.trained.values() if one.candidate.light]
    assert light and not [one for one in rungs.trained.values() if one.trouble == OVER]
    assert trainer.clock[0] <= seconds + 1
    assert rungs.pace.epoch_s == before, "it is no measure of others' epochs"
