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
