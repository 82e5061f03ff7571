"""The lines over nights: thinned without losing what matters, and every place where it belongs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.farm.dashboard.timeline import MOST, fence_around, spark, thin, timeline
from device_agents.farm.series.nights import nights
from device_agents.farm.series.settings import Settings
from tests.device_agents.farm.series.nightly import levels, series

_values = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=900)


@given(_values, st.integers(4, 200))
def test_thin_keeps_the_ends_the_extremes_and_no_more_than_it_may(values: list[float], most: int) -> None:
    places = thin(values, most)
    assert places == sorted(set(places)) and places[0] == 0 and places[-1] == len(values) - 1
    kept = [values[place] for place in places]
    assert min(kept) == min(values) and max(kept) == max(values)
    assert len(places) <= most + 2


def test_thin_keeps_the_places_that_it_is_told_to() -> None:
    assert {17, 301} <= set(thin([1.0] * 900, 60, (17, 301)))


def test_spark_of_one_night_is_to_be_seen() -> None:
    assert re.fullmatch(r"M[0-9.]+ [0-9.]+h4", spark([1.0], ()).line)


def test_spark_goes_up_where_the_value_does() -> None:
    line = spark([1.0, 2.0], (1,))
    heights = [float(y) for y in re.findall(r" ([0-9.]+)", line.line)]
    assert heights[0] > heights[1]
    assert line.changes == (75.0,)


@pytest.mark.parametrize("count", [1, 2, 30, 900])
def test_timeline_holds_all_of_its_points_within_the_box(count: int) -> None:
    found, _ = nights(series(levels(count, 0)), "latency")
    chart = timeline(found, [], 1e-6, " ms", Settings(), exact=False)
    points = [(float(x), float(y)) for x, y in re.findall(r"([0-9.]+) ([0-9.]+)", chart.line)]
    assert all(0 <= x <= 1000 and 0 <= y <= 100 for x, y in points)
    assert len(points) <= MOST + 2
    assert len(chart.dates) == min(3, count)


def test_timeline_puts_a_change_where_the_level_begins_and_the_fence_after_it() -> None:
    found, _ = nights(series(levels(30, 10, step=1.5)), "latency")
    chart = timeline(found, [30], 1e-6, " ms", Settings(), exact=False)
    assert chart.changes == (75.0,)
    assert chart.fence is not None and chart.fence.left == 75.0
    assert chart.fence.top < chart.fence.bottom


def test_timeline_of_an_exact_metric_has_no_fence() -> None:
    found, _ = nights(series([5.0] * 30, "size"), "size")
    assert timeline(found, [], 1.0, " B", Settings(), exact=True).fence is None


def test_fence_around_holds_usual_nights_and_leaves_out_a_far_one() -> None:
    found, _ = nights(series(levels(60, 0, sd=0.005)), "latency")
    fence = fence_around(found, 0, Settings())
    assert fence is not None
    inside = sum(fence[0] <= night.value <= fence[1] for night in found)
    assert inside >= 58
    assert not fence[0] <= found[-1].value * 1.2 <= fence[1]


def test_fence_around_needs_three_nights() -> None:
    found, _ = nights(series(levels(2, 0)), "latency")
    assert fence_around(found, 0, Settings()) is None


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=40))
def test_timeline_takes_any_value_that_a_series_can_have(values: list[float]) -> None:
    found, _ = nights(series(values), "latency")
    chart = timeline(found, [], 1e-6, " ms", Settings(), exact=False)
    assert "nan" not in chart.line and "inf" not in chart.line
