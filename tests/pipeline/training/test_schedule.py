"""Schedules: the one-cycle learning rate, and defaults that suit the optimizer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.training import Schedule, one_cycle


def test_one_cycle_rises_for_a_quarter_and_falls_to_almost_nothing() -> None:
    rates = [one_cycle(0.4, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.4 / 25)
    assert rates[25] == max(rates) == pytest.approx(0.4)
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert 0 < rates[-1] < 0.4 / 100
    assert one_cycle(0.4, 0, 1) > 0


def test_schedule_of_adamw_has_its_own_defaults() -> None:
    assert (Schedule(optimizer="adamw").learning_rate, Schedule(optimizer="adamw").weight_decay) == (1e-3, 0.01)
    assert Schedule(optimizer="adamw", learning_rate=0.3).learning_rate == 0.3
    assert Schedule().learning_rate == 0.2


def test_schedule_that_begins_after_its_end_is_refused() -> None:
    assert Schedule(epochs=4, begin=4).begin == 4
    with pytest.raises(ValidationError, match="begin = 5 is past the last of 4 epochs"):
        Schedule(epochs=4, begin=5)
