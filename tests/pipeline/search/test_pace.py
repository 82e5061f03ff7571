"""How the time is shared out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.search.pace import (
    FINALS,
    Pace,
    epoch_of,
    finalists,
    full_epochs,
    networks_at_the_end,
    short_epochs,
    trials,
)

PACE = Pace(epoch_s=10.0, cut_s=2.0, bundle_s=5.0, look_s=8.0)


def test_an_epoch_scales_with_what_is_computed_and_back() -> None:
    seconds = PACE.training_s(0.3, 4) - PACE.cut_s
    assert seconds < PACE.training_s(1.0, 4) - PACE.cut_s == 40
    assert epoch_of(seconds, 0.3, 4) == pytest.approx(10)


def test_only_what_fits_is_trained() -> None:
    assert PACE.epochs(PACE.training_s(0.5, 5) + 0.1, 0.5, 9) == 5
    assert PACE.epochs(1e9, 0.5, 9) == 9
    assert PACE.epochs(0.0, 0.5, 9) == 0


def test_bundles_made_side_by_side_need_less_time_at_the_end() -> None:
    alone, beside = PACE.finals_s(3, 4), replace(PACE, side=2).finals_s(3, 4)
    assert alone - beside == pytest.approx(3 * 4 * 5.0 / 2)


def test_the_end_of_a_search_takes_no_more_than_its_share_where_one_network_fits() -> None:
    assert networks_at_the_end(PACE, 4, 1200) == (3, 3)
    slow = replace(PACE, bundle_s=55.0, look_s=50.0, side=2)  # a small text model
    found = networks_at_the_end(slow, 4, 1200)
    assert found == (1, 0)
    assert slow.finals_s(sum(found), 4) <= FINALS * 1200 < slow.finals_s(sum(found) + 1, 4)
    assert networks_at_the_end(slow, 4, 10) == (1, 0)
    assert networks_at_the_end(slow, 4, 3600) == (3, 3)


def test_epochs_follow_the_training() -> None:
    assert full_epochs(20, []) == 12
    assert full_epochs(1, []) == 4
    assert full_epochs(0, [5]) == 5
    assert (short_epochs(12), short_epochs(1)) == (2, 1)


def test_a_longer_budget_looks_at_no_less() -> None:
    budgets = [1, 60, 150, 600, 1800, 86400]
    for of in (finalists, trials):
        assert [of(one) for one in budgets] == sorted(of(one) for one in budgets)
    assert trials(86400) == 2000
