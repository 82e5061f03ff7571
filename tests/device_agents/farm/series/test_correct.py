"""The correction for many series: as Benjamini and Hochberg say, and fewer false alarms for it."""

from __future__ import annotations

import random
from dataclasses import replace
from importlib import import_module

from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.farm.series import Settings, judge
from device_agents.farm.series.correct import cut
from tests.device_agents.farm.series.nightly import KEY, levels, series


@settings(deadline=None)  # the first call imports scipy
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_cut_is_that_of_benjamini_and_hochberg(values: list[float]) -> None:
    stats = import_module("scipy.stats")
    adjusted = stats.false_discovery_control(values)
    # Leaves out ties with alpha itself, where the two round differently.
    if any(abs(one - 0.05) < 1e-9 for one in adjusted):
        return
    bound = cut(values, len(values), 0.05)
    assert [(value <= bound and bound > 0) or value == 0 for value in values] == [one <= 0.05 for one in adjusted]


def test_cut_counts_the_tests_that_showed_nothing() -> None:
    assert cut([1e-5], 1, 1e-4) == 1e-5
    assert cut([1e-5], 100, 1e-4) == 0.0
    assert cut([], 100, 1e-4) == 0.0


def test_many_series_raise_fewer_false_alarms_together_than_each_alone() -> None:
    # A weak alpha, so that there are false alarms to count.
    weak = Settings(alpha=0.005)
    given = [series(levels(150, 0, seed=seed), key=replace(KEY, variant=str(seed))) for seed in range(40)]
    alone = sum(len(judge([one], weak)[0].changes) for one in given)
    together = sum(len(verdict.changes) for verdict in judge(given, weak))
    assert alone >= 10
    assert together <= alone / 4


def test_series_that_move_together_are_found_sooner_than_one_among_many() -> None:
    def found(moving: int) -> float:
        nights = []
        for number in range(40):
            values = levels(60, 25, 1.04 if number < moving else 1.0, 0.015, number)
            nights.append(series(values, key=replace(KEY, variant=str(number))))
        first = judge(nights)[0].changes
        return min((change.found for change in first), default=10**6)

    assert found(40) < found(1)


def test_the_order_in_which_series_are_given_changes_nothing() -> None:
    given = [series(levels(40, 5, 1.06, 0.02, seed), key=replace(KEY, variant=str(seed))) for seed in range(6)]
    mixed = random.Random(1).sample(given, len(given))
    by_name = {verdict.key.variant: verdict for verdict in judge(mixed)}
    assert [by_name[verdict.key.variant] for verdict in judge(given)] == judge(given)
