"""Ladders: aligned, bounded steps in the order of importance, of which every share takes a beginning."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.pruning.selection import RANKINGS, Ladder, Room, make_ladder, most_important

rooms = st.builds(
    lambda units, extra, step, minimum, kind: Room(units, units + extra, step, minimum, kind),
    st.integers(1, 80), st.integers(0, 40), st.sampled_from([1, 2, 3, 4, 8, 16]), st.integers(1, 40),
    st.sampled_from(["filters", "neurons"]),
)  # fmt: skip
networks = st.lists(rooms, min_size=1, max_size=5).map(lambda found: {str(i): room for i, room in enumerate(found)})


def draw_scores(rooms: dict[str, Room], seed: int) -> dict[str, Tensor]:
    """Some negative (movement's are), some equal."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randint(-3, 9, (room.units,), generator=generator).float() for name, room in rooms.items()}


@given(rooms)
def test_widths_of_a_room_are_multiples_never_none_and_never_below_the_minimum(room: Room) -> None:
    assert room.widths[0] == room.units
    assert all(width % room.step == 0 for width in room.widths[1:])
    assert all(min(room.minimum, room.units) <= width <= room.units for width in room.widths)
    assert min(room.widths) >= 1
    assert room.widths == sorted(set(room.widths), reverse=True)


@pytest.mark.parametrize(
    ("room", "widths"),
    [
        (Room(32, 32, 8, 8), [32, 24, 16, 8]),
        (Room(20, 20, 8, 8), [20, 16, 8]),
        (Room(4, 4, 8, 8), [4]),
        (Room(64, 64, 8, 50), [64, 56]),
        (Room(20, 20, 8, 18), [20]),
        (Room(6, 6, 1, 1), [6, 5, 4, 3, 2, 1]),
        (Room(3, 3, 1, 0), [3, 2, 1]),
    ],
)
def test_widths_of_a_room_are(room: Room, widths: list[int]) -> None:
    assert room.widths == widths


@settings(max_examples=60, deadline=None)
@given(networks, st.sampled_from(RANKINGS), st.integers(0, 9))
def test_ladder_goes_through_every_width_of_every_group_downwards(
    found: dict[str, Room], ranking: str, seed: int
) -> None:
    ladder = make_ladder(found, draw_scores(found, seed), ranking)
    for name, room in found.items():
        assert [step.width for step in ladder.steps if step.group == name] == room.widths[1:]
    assert [step.time for step in ladder.steps] == pytest.approx(sorted(step.time for step in ladder.steps))


@settings(max_examples=60, deadline=None)
@given(networks, st.sampled_from(RANKINGS), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1))
def test_ladder_keeps_no_more_of_any_group_for_a_higher_share(
    found: dict[str, Room], ranking: str, seed: int, one: float, other: float
) -> None:
    ladder = make_ladder(found, draw_scores(found, seed), ranking)
    low, high = sorted((one, other))
    more, fewer = ladder.widths(ladder.due(low)), ladder.widths(ladder.due(high))
    assert all(fewer[name] <= more[name] for name in found)


@pytest.mark.parametrize(
    ("share", "width"), [(0.0, 64), (0.05, 64), (0.07, 56), (0.5, 32), (0.5625, 32), (0.57, 24), (0.95, 8), (1.0, 8)]
)
def test_local_ladder_rounds_to_the_nearest_multiple_and_half_goes_up(share: float, width: int) -> None:
    room = {"a": Room(64, 64, 8, 8)}
    ladder = make_ladder(room, {"a": torch.arange(64.0)}, "local")
    assert ladder.widths(ladder.due(share)) == {"a": width}


def test_local_ladder_takes_an_unaligned_width_down_to_the_multiple_below_at_once() -> None:
    ladder = make_ladder({"a": Room(20, 20, 8, 8)}, {"a": torch.arange(20.0)}, "local")
    assert [ladder.widths(ladder.due(share))["a"] for share in (0.0, 0.02, 0.3, 0.45)] == [20, 16, 16, 8]


def test_local_ladder_counts_from_the_original_width() -> None:
    fresh, later = {"a": Room(32, 32, 4, 4)}, {"a": Room(24, 32, 4, 4)}
    for share in (0.1, 0.3, 0.5, 0.8):
        wanted = make_ladder(fresh, {"a": torch.arange(32.0)}, "local")
        got = make_ladder(later, {"a": torch.arange(24.0)}, "local")
        assert got.widths(got.due(share))["a"] == min(24, wanted.widths(wanted.due(share))["a"])


def _after(scores: dict[str, list[float]], ranking: str, share: float, kind: str = "") -> dict[str, int]:
    found = {name: Room(len(values), len(values), kind=kind) for name, values in scores.items()}
    ladder: Ladder = make_ladder(found, {name: torch.tensor(values) for name, values in scores.items()}, ranking)
    return ladder.widths(ladder.due(share))


def test_global_ladder_takes_from_the_group_that_matters_least_and_local_from_each() -> None:
    scores = {"a": [100.0 + i for i in range(16)], "b": [0.0 + i for i in range(16)]}
    assert _after(scores, "global", 0.25) == {"a": 16, "b": 8}
    assert _after(scores, "local", 0.25) == {"a": 12, "b": 12}


def test_group_ladder_compares_units_by_their_share_of_their_own_group() -> None:
    # b's numbers are larger throughout, but two of its units hardly count among their own.
    scores = {"a": [1.0, 1.0, 1.0, 1.0], "b": [10.0, 10.0, 200.0, 200.0]}
    assert _after(scores, "global", 0.25) == {"a": 2, "b": 4}
    assert _after(scores, "group", 0.25) == {"a": 4, "b": 2}


def test_group_ladder_takes_negative_scores_before_positive_ones() -> None:
    assert _after({"a": [-5.0, -4.0, 1.0, 1.0], "b": [2.0, 3.0, 2.0, 3.0]}, "group", 0.25) == {"a": 2, "b": 4}


def test_global_ladder_ranks_each_kind_by_itself() -> None:
    found = {"conv": Room(4, 4, kind="filters"), "attention": Room(4, 4, kind="heads")}
    ladder = make_ladder(found, {"conv": torch.arange(4.0), "attention": 1000 + torch.arange(4.0)}, "global")
    assert ladder.widths(ladder.due(0.5)) == {"conv": 2, "attention": 2}


def test_ladder_takes_the_least_loss_first_where_two_steps_are_due_at_once() -> None:
    found = {"even": Room(4, 4, 2), "uneven": Room(4, 4, 2)}
    scores = {"even": torch.tensor([1.0, 1, 1, 1]), "uneven": torch.tensor([9.0, 9, 0.1, 0.1])}
    assert [step.group for step in make_ladder(found, scores, "local").steps] == ["uneven", "even"]


def test_most_important_are_sorted_and_of_equals_the_first_stay() -> None:
    assert most_important(torch.tensor([1.0, 3.0, 2.0, 3.0, 1.0]), 3) == [1, 2, 3]
    assert most_important(torch.ones(8), 3) == [0, 1, 2]


@given(st.lists(st.integers(-2, 5), min_size=1, max_size=30), st.data())
def test_most_important_of_fewer_are_among_those_of_more(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values)))
    scores = torch.tensor(values).float()
    assert set(most_important(scores, count - 1)) < set(most_important(scores, count))
