"""Widths: aligned, bounded, and never larger for a higher ratio; scores: what a channel is worth."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.pruning.criteria import CRITERIA
from pipeline.pruning.filters import find_groups
from pipeline.pruning.schedule import share_after
from pipeline.pruning.selection import (
    ImpossibleRatio,
    channel_scores,
    global_widths,
    local_widths,
    most_important,
    round_width,
)
from tests.pipeline import nets

widths = st.integers(1, 512)
alignments = st.sampled_from([1, 2, 4, 8, 16, 32])
minimums = st.integers(1, 64)
ratios = st.floats(0, 0.999)


@given(widths, widths, st.data(), alignments, minimums)
def test_round_width_is_aligned_and_bounded_and_monotone(
    channels: int, other: int, data: st.DataObject, alignment: int, minimum: int
) -> None:
    less, more = sorted(data.draw(st.tuples(st.floats(0, channels), st.floats(0, channels))))
    width = round_width(more, channels, alignment, minimum)
    assert width == channels or width % alignment == 0
    assert min(minimum, channels) <= width <= channels
    assert round_width(less, channels, alignment, minimum) <= width


@pytest.mark.parametrize(
    ("wanted", "channels", "alignment", "minimum", "width"),
    [
        (31, 64, 8, 8, 32),
        (28, 64, 8, 8, 32),
        (27.9, 64, 8, 8, 24),
        (0, 64, 8, 8, 8),
        (3, 4, 8, 8, 4),
        (1, 64, 8, 9, 16),
    ],
)
def test_round_width_goes_to_the_nearest_multiple(
    wanted: float, channels: int, alignment: int, minimum: int, width: int
) -> None:
    assert round_width(wanted, channels, alignment, minimum) == width


@given(st.lists(widths, min_size=1, max_size=6), ratios, ratios, alignments, minimums)
def test_local_widths_keep_no_more_for_a_higher_ratio(
    original: list[int], one: float, other: float, alignment: int, minimum: int
) -> None:
    at_first = {str(place): width for place, width in enumerate(original)}
    low, high = sorted((one, other))
    kept = local_widths(at_first, at_first, low, alignment, minimum)
    fewer = local_widths(at_first, at_first, high, alignment, minimum)
    assert all(fewer[name] <= kept[name] <= at_first[name] for name in at_first)
    # A second round starts from what the first one left, and never gives anything back.
    assert local_widths(kept, at_first, high, alignment, minimum) == fewer


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), ratios, ratios, alignments, minimums, st.integers(0, 9))
def test_global_widths_keep_no_more_for_a_higher_ratio(
    original: list[int], one: float, other: float, alignment: int, minimum: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    at_first = {str(place): width for place, width in enumerate(original)}
    scores = {name: torch.rand(width, generator=generator) for name, width in at_first.items()}
    low, high = sorted((one, other))
    kept = global_widths(scores, at_first, at_first, low, alignment, minimum)
    fewer = global_widths(scores, at_first, at_first, high, alignment, minimum)
    for name, width in at_first.items():
        assert min(minimum, width) <= fewer[name] <= kept[name] <= width
        assert kept[name] == width or kept[name] % alignment == 0


def test_global_widths_take_from_the_group_that_matters_least() -> None:
    scores = {"a": torch.arange(16) + 100.0, "b": torch.arange(16) + 0.0}
    sizes = {"a": 16, "b": 16}
    assert global_widths(scores, sizes, sizes, 0.25, 1, 1) == {"a": 16, "b": 8}
    assert local_widths(sizes, sizes, 0.25, 1, 1) == {"a": 12, "b": 12}


def test_most_important_are_sorted_and_of_equals_the_first_stay() -> None:
    assert most_important(torch.tensor([1.0, 3.0, 2.0, 3.0, 1.0]), 3) == [1, 2, 3]
    assert most_important(torch.ones(8), 3) == [0, 1, 2]


def test_channel_scores_sum_all_that_makes_the_channel_and_have_a_mean_of_one() -> None:
    net = nets.make("vgg")
    first = cast(nn.Conv2d, net.get_submodule("0"))
    norm = cast(nn.BatchNorm2d, net.get_submodule("1"))
    group = next(group for group in find_groups(net, nets.pictures())[0] if group.name == "0")
    scores = channel_scores(net, group, CRITERIA["l1"])
    raw = first.weight.detach().abs().sum((1, 2, 3)) + norm.weight.detach().abs()
    assert torch.allclose(scores, raw / raw.mean(), atol=1e-5)
    assert float(scores.mean()) == pytest.approx(1.0, abs=1e-5)


def test_channel_scores_of_nan_weights_name_the_layer() -> None:
    net = nets.make("vgg")
    group = next(group for group in find_groups(net, nets.pictures())[0] if group.name == "3")
    with torch.no_grad():
        cast(nn.Conv2d, net.get_submodule("3")).weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ImpossibleRatio, match="NaN") as caught:
        channel_scores(net, group, CRITERIA["l1"])
    assert caught.value.where == "3"


def test_share_after_grows_in_equal_parts_to_the_whole() -> None:
    assert [share_after(round_, 4) for round_ in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]
    assert share_after(1, 1) == 1.0
    with pytest.raises(ValueError):
        share_after(5, 4)
