"""Budgets: met within the tolerance where single steps allow, monotone, deterministic, and always with exact sizes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pruning.budget import TOLERANCE, fit_budget, fit_units
from pipeline.pruning.selection import RANKINGS, Ladder, Room, make_ladder
from tests.pipeline.pruning.test_selection import draw_scores
from tests.pipeline.pruning.test_selection import networks as rooms_of_networks


def macs(widths: Mapping[str, int]) -> int:
    """A chain of layers: 3 inputs, then each width times the one before, then 10 outputs."""
    row = [3, *widths.values(), 10]
    return sum(one * other for one, other in pairwise(row))


def gone_of(rooms: Mapping[str, Room]):  # type: ignore[no-untyped-def]
    whole = macs({name: room.original for name, room in rooms.items()})
    return lambda widths: 1 - macs(widths) / whole


def _ladder(widths: list[int], step: int = 1, minimum: int = 1, ranking: str = "local") -> Ladder:
    rooms = {str(place): Room(width, width, step, minimum) for place, width in enumerate(widths)}
    generator = torch.Generator().manual_seed(0)
    return make_ladder(rooms, {name: torch.rand(r.units, generator=generator) for name, r in rooms.items()}, ranking)


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize(("widths", "step"), [([64, 64, 128], 1), ([16, 32, 64, 64, 128], 4), ([96] * 8, 8)])
def test_budget_is_met_within_the_tolerance(widths: list[int], step: int, share: float, ranking: str) -> None:
    ladder = _ladder(widths, step, step, ranking)
    fit = fit_budget(ladder, gone_of(ladder.rooms), share)
    assert abs(fit.gone - share) <= TOLERANCE
    assert fit.gone == gone_of(ladder.rooms)(fit.widths)
    assert all(fit.widths[name] in room.widths for name, room in ladder.rooms.items())


def test_budget_that_a_step_of_the_ladder_jumps_over_is_met_by_other_groups() -> None:
    """Two wide layers side by side: each step of the ladder costs more than the tolerance, but groups can be paired."""
    rooms = {"a": Room(24, 24, 8, 8), "b": Room(40, 40, 8, 8), "c": Room(24, 24, 8, 8), "d": Room(16, 16, 8, 8)}
    ladder = make_ladder(rooms, {name: torch.ones(room.units) for name, room in rooms.items()}, "local")
    gone = gone_of(rooms)
    points = [gone(ladder.widths(count)) for count in range(len(ladder.steps) + 1)]
    helped = 0
    for share in (place / 100 for place in range(5, 85)):
        fit = fit_budget(ladder, gone, share)
        nearest = min(abs(point - share) for point in points)
        assert abs(fit.gone - share) <= nearest + 1e-12
        helped += nearest > TOLERANCE >= abs(fit.gone - share)
    assert helped >= 20


@settings(max_examples=40, deadline=None)
@given(rooms_of_networks, st.sampled_from(RANKINGS), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1))
def test_budget_of_a_higher_share_never_leaves_more(
    rooms: dict[str, Room], ranking: str, seed: int, one: float, other: float
) -> None:
    ladder = make_ladder(rooms, draw_scores(rooms, seed), ranking)
    low, high = sorted((one, other))
    less, more = (fit_budget(ladder, gone_of(rooms), share) for share in (low, high))
    assert less.gone <= more.gone + 1e-12
    assert all(1 <= more.widths[name] <= room.units for name, room in rooms.items())


@settings(max_examples=80, deadline=None)
@given(rooms_of_networks, st.sampled_from(RANKINGS), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1))
def test_units_of_a_higher_share_never_keep_more_of_any_group(
    rooms: dict[str, Room], ranking: str, seed: int, one: float, other: float
) -> None:
    ladder = make_ladder(rooms, draw_scores(rooms, seed), ranking)
    low, high = sorted((one, other))
    less, more = (fit_units(ladder, share, ranking) for share in (low, high))
    assert all(more.widths[name] <= less.widths[name] for name in rooms)


def test_budget_beyond_either_end_goes_as_far_as_the_ladder() -> None:
    ladder = _ladder([16, 32], 8, 8)
    gone = gone_of(ladder.rooms)
    assert fit_budget(ladder, gone, 0.99).widths == {"0": 8, "1": 8}
    assert fit_budget(ladder, gone, 0.0).widths == {"0": 16, "1": 32}


def test_units_are_met_within_the_tolerance_though_every_group_would_round_the_same_way() -> None:
    ladder = _ladder([64] * 6, 8, 8)
    fit = fit_units(ladder, 0.3, "local")
    # Each alone would go to 48: a quarter. Some go one step further.
    assert abs(fit.gone - 0.3) <= TOLERANCE
    assert set(fit.widths.values()) == {40, 48}


def test_units_of_local_ranking_are_not_taken_from_others_where_one_group_can_lose_none() -> None:
    rooms = {"tiny": Room(8, 8, 8, 8), "wide": Room(64, 64, 1, 1)}
    ladder = make_ladder(rooms, {"tiny": torch.ones(8), "wide": torch.ones(64)}, "local")
    widths = fit_units(ladder, 0.5, "local").widths
    assert widths["tiny"] == 8
    assert 28 <= widths["wide"] <= 32
    assert fit_units(ladder, 0.5, "global").widths["wide"] == 28
    assert fit_units(ladder, 0.7, "global").widths["wide"] == 14
    assert fit_units(ladder, 0.7, "local").widths["wide"] == 16


@pytest.mark.parametrize(("share", "width"), [(0.05, 64), (0.07, 56), (0.5, 32), (0.55, 32), (0.58, 24)])
def test_units_go_to_the_nearest_width(share: float, width: int) -> None:
    assert fit_units(_ladder([64], 8, 8, "global"), share, "global").widths == {"0": width}


def test_fits_are_the_same_again() -> None:
    ladder = _ladder([24, 40, 24, 16], 8, 8, "global")
    assert [fit_budget(ladder, gone_of(ladder.rooms), place / 20) for place in range(20)] == [
        fit_budget(ladder, gone_of(ladder.rooms), place / 20) for place in range(20)
    ]
