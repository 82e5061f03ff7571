"""The learned noise and its fence: right for normal nights, calm about the odd one, careful while nothing is known."""

from __future__ import annotations

import random
from importlib import import_module
from itertools import pairwise

import pytest

from device_agents.farm.series.noise import FENCE, fence, root_mean_square, scatter
from device_agents.farm.series.settings import Settings

HOW = Settings()


def _changes(count: int, sd: float = 0.01) -> list[float]:
    rng = random.Random(3)
    nights = [rng.gauss(0, sd) for _ in range(count + 1)]
    return [after - before for before, after in pairwise(nights)]


def test_fence_constant_is_that_of_normal_changes() -> None:
    stats = import_module("scipy.stats")
    q1, q3 = stats.halfnorm.ppf([0.25, 0.75])
    assert q3 + 3 * (q3 - q1) == pytest.approx(FENCE, abs=0.01)


def test_scatter_is_that_of_a_night() -> None:
    assert scatter(_changes(2000), HOW.floor) == pytest.approx(0.01, rel=0.05)


def test_scatter_hardly_minds_a_step_and_never_falls_below_the_floor() -> None:
    changes = _changes(90)
    assert scatter([*changes, 0.5], HOW.floor) < 1.1 * scatter(changes, HOW.floor)
    assert scatter([0.0] * 40, HOW.floor) == HOW.floor
    assert root_mean_square([0.0] * 40 + [0.1], HOW.floor) < 2 * HOW.floor


def test_values_that_are_mostly_zero_keep_what_is_common_among_the_rest() -> None:
    assert root_mean_square([0.0] * 65 + [0.03] * 35, HOW.floor) == pytest.approx(0.03 * 0.35**0.5)


def test_fence_without_history_is_the_default() -> None:
    assert fence([], 0.0, HOW) == pytest.approx(FENCE * 2**0.5 * HOW.default_noise)
    assert fence([1e-9] * 5, 0.0, HOW) == fence([], 0.0, HOW)


def test_fence_is_learned_but_never_below_the_smallest_magnitude() -> None:
    quiet = [fence([1e-6] * count, 0.0, HOW) for count in (6, 12, 20)]
    assert quiet == sorted(quiet, reverse=True)
    assert quiet[-1] == HOW.magnitude
    assert fence(_changes(20, 0.05), 0.0, HOW) > fence([], 0.0, HOW)


def test_fence_is_wider_where_nights_are_unsure_of_themselves() -> None:
    assert fence([1e-6] * 20, 0.03, HOW) > 0.1
