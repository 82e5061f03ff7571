"""What fine-tuning will leave lost: more for deeper cuts, corrected by candidates that were really trained."""

from __future__ import annotations

import pytest

from pipeline.search.forecast import EXPONENT, Forecast, at_epochs
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space


def _narrow(space: Space, width: int) -> Choice:
    return space.tidy(Choice((), tuple((group.name, width) for group in space.groups)))


def test_sensitivity_adds_up_and_is_linear_between_tries(space: Space, felt: Sensitivity) -> None:
    group = next(one for one in space.groups if one.units == 32)
    assert felt.lost(Choice((), ((group.name, 24),))) == pytest.approx(0.005)
    assert felt.lost(Choice((space.layers[0],), ((group.name, 16),))) == pytest.approx(0.04)


def test_more_gone_is_more_lost(space: Space, felt: Sensitivity) -> None:
    forecast = Forecast(space, felt, 0.93, 8)
    assert 0 == forecast.lost(Choice()) < forecast.lost(Choice((space.layers[0],))) < forecast.lost(_narrow(space, 8))


def test_what_candidates_showed_corrects_the_others(space: Space, felt: Sensitivity) -> None:
    forecast = Forecast(space, felt, 0.93, 8)
    before = forecast.lost(_narrow(space, 8))
    forecast.learn(Choice((space.layers[0],), ()), 8, 0.2)
    assert forecast.lost(_narrow(space, 8)) > 2 * before
    assert forecast.lost(Choice((space.layers[0],), ())) == 0.2


def test_one_training_is_half_of_what_is_thought(space: Space, felt: Sensitivity) -> None:
    forecast, choice = Forecast(space, felt, 0.93, 8), _narrow(space, 8)
    assert forecast.usual(choice) == forecast.lost(choice)
    for _ in range(9):
        forecast.learn(_narrow(space, 16), 8, 0.01)
    guess = forecast.lost(choice)
    forecast.learn(choice, 8, guess / 3)  # a lucky one
    assert forecast.lost(choice) == pytest.approx(guess / 3)
    assert guess / 3 < forecast.usual(choice) < guess


def test_longer_training_loses_less_and_how_much_is_learnt(space: Space, felt: Sensitivity) -> None:
    assert at_epochs(0.04, 2, 8) == pytest.approx(0.04 * 4**-EXPONENT)
    assert at_epochs(-0.01, 2, 8) == -0.01
    forecast, choice = Forecast(space, felt, 0.93, 8), _narrow(space, 8)
    forecast.learn(choice, 2, 0.04)
    forecast.learn(choice, 4, 0.039)  # longer training hardly helps here
    assert forecast.exponent < EXPONENT
    assert forecast.lost(choice) == pytest.approx(at_epochs(0.039, 4, 8, forecast.exponent))


def test_fewer_epochs_leave_more_lost_and_a_gain_what_it_is(space: Space, felt: Sensitivity) -> None:
    forecast = Forecast(space, felt, 0.93, 8)
    assert forecast.after(0.01, 8) == forecast.after(0.01, 9) == pytest.approx(0.01)
    assert forecast.after(0.01, 2) == pytest.approx(0.01 * 4**EXPONENT)
    assert forecast.after(0.01, 0) == forecast.after(0.01, 1)
    assert forecast.after(-0.01, 1) == -0.01


def test_what_is_lost_untrained_is_the_sum_of_what_each_cut_lost_until_it_is_known_better(
    space: Space, felt: Sensitivity
) -> None:
    forecast, layer = Forecast(space, felt, 0.93, 3), Choice((space.layers[0],))
    assert felt.lost(layer) < forecast.untrained(layer) == forecast.summed(layer) < felt.lost(layer) + 0.01
    before = forecast.untrained(_narrow(space, 8))
    forecast.learn(Choice(), 0, 0.004)  # rows of embeddings, by themselves
    assert forecast.untrained(_narrow(space, 8)) == pytest.approx(before + 0.004)
    both = Choice((space.layers[0],), _narrow(space, 16).widths)
    forecast.learn(both, 0, 0.004 + 3 * forecast.summed(both))
    assert forecast.untrained(both) == 0.004 + 3 * forecast.summed(both)
    assert 2 * before < forecast.untrained(_narrow(space, 8)) < 0.004 + 3 * before
    assert forecast.untrained(layer) == 0.004 + forecast.summed(layer), "one cut loses what it lost alone"
    assert not forecast.seen


def test_short_fine_tuning_is_thought_to_lose_no_more_than_none_and_a_long_one_goes_its_own_way(space: Space) -> None:
    nothing_felt = Sensitivity({one.name: [(one.units, 0.0), (1, 0.0)] for one in space.groups}, {})
    brief, long = Forecast(space, nothing_felt, 0.5, 3), Forecast(space, nothing_felt, 0.5, 9)
    choice = _narrow(space, 16)
    for forecast in (brief, long):
        forecast.learn(choice, 0, 0.02)
        forecast.learn(Choice((space.layers[0],)), forecast.full, 0.2)
        assert forecast.lost(Choice((space.layers[0],))) == 0.2
    assert brief.lost(choice) == 0.02 < long.lost(choice)
    other = Choice((), ((space.groups[0].name, 8),))
    assert brief.lost(other) == brief.untrained(other) < 0.8 * long.lost(other)
    # A light form's cost is what it lost beyond what its network does: the weights say that, not the hope.
    assert brief.usual(other) > brief.lost(other)


def test_layer_left_out_by_itself_since_lost_what_it_lost_then(space: Space, felt: Sensitivity) -> None:
    """On few samples it cost nothing: what goes together with it costs more than that too."""
    forecast, layer = Forecast(space, felt, 0.93, 3), Choice((space.layers[0],))
    both = Choice(layer.remove, _narrow(space, 16).widths)
    before, alone, other = forecast.summed(both), forecast.summed(layer), forecast.untrained(_narrow(space, 8))
    forecast.learn(Choice(), 0, 0.004)
    forecast.learn(layer, 0, 0.004 + alone + 0.02)
    assert forecast.summed(both) == pytest.approx(before + 0.02)
    assert forecast.untrained(_narrow(space, 8)) == pytest.approx(0.004 + other), "no other is to blame"
    forecast.learn(layer, 0, 0.0)
    assert forecast.summed(both) == pytest.approx(before), "it got lucky: its own try counts"


def test_what_is_lost_together_is_learnt_from_cuts_that_went_together(space: Space, felt: Sensitivity) -> None:
    forecast, layer = Forecast(space, felt, 0.93, 3), Choice((space.layers[0],))
    both, asked = Choice(layer.remove, _narrow(space, 16).widths), _narrow(space, 8)
    forecast.learn(layer, 0, 0.1)
    before = forecast.untrained(asked)
    forecast.learn(both, 0, 3 * forecast.summed(both))
    assert 2.7 * before < forecast.untrained(asked) < 3 * before


def test_few_epochs_lose_no_more_than_going_without_does(space: Space, felt: Sensitivity) -> None:
    forecast, tried, trained = Forecast(space, felt, 0.93, 4), _narrow(space, 24), _narrow(space, 8)
    forecast.learn(tried, 0, 0.008)
    forecast.learn(trained, 1, 0.02)
    assert forecast.spared(tried, 0.03) == 0.008 and forecast.spared(tried, 0.003) == 0.003
    assert forecast.spared(trained, 0.03) == 0.03, "what it loses without is not known"
    assert forecast.spared(_narrow(space, 16), 9.0) == forecast.untrained(_narrow(space, 16))
    long = Forecast(space, felt, 0.93, 9)
    assert long.spared(_narrow(space, 16), 9.0) == 9.0


def test_training_that_did_harm_is_left_out(space: Space, felt: Sensitivity) -> None:
    forecast, choice = Forecast(space, felt, 0.93, 3), _narrow(space, 16)
    forecast.learn(choice, 3, 0.03)
    assert forecast.lost(choice) == 0.03
    forecast.learn(choice, 0, 0.005)
    assert forecast.lost(choice) == 0.005


def test_training_tells_of_going_without_only_where_it_lost_more(space: Space, felt: Sensitivity) -> None:
    forecast, seen, asked = Forecast(space, felt, 0.93, 3), _narrow(space, 8), _narrow(space, 16)
    before = forecast.untrained(asked)
    forecast.learn(seen, 1, 0.5 * forecast.summed(seen))
    assert forecast.untrained(asked) == before, "it healed, as it should"
    both = Choice((space.layers[0],), seen.widths)
    forecast.learn(both, 0, 4 * forecast.summed(both))
    known = forecast.untrained(asked)
    assert known > 2 * before
    forecast.learn(_narrow(space, 24), 1, 2 * forecast.summed(_narrow(space, 24)))
    assert forecast.untrained(asked) == known, "more than the sum, but less than such sums are off by"
    forecast.learn(both, 1, 20 * forecast.summed(both))
    assert forecast.untrained(asked) == known, "what it loses without is known"
    forecast.learn(seen, 1, 30 * forecast.summed(seen))
    assert forecast.untrained(asked) == known, "its first training healed"
