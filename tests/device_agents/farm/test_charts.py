"""The charts' geometry: what is drawn is in proportion to what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.farm.charts import canary_percent, drift_percent, histogram, lanes, nice_axis, stair, time_axis
from device_agents.farm.paired import percentile


def test_stair_is_as_high_as_its_values_and_joins_its_treads() -> None:
    first, second, none, third = stair([200.0, 100.0, None, 50.0])
    assert first is not None and second is not None and third is not None and none is None
    heights = [100 - tread.top for tread in (first, second, third)]
    assert heights == pytest.approx([88.0, 44.0, 22.0])
    assert second.rise.startswith(f"M250.0 {first.top:.2f}V{second.top:.2f}H500.0")


@pytest.mark.parametrize("values", [[], [None], [0.0, 0.0]])
def test_stair_of_nothing_draws_nothing_wrong(values: list[float | None]) -> None:
    assert all(tread is None or tread.top == 100.0 for tread in stair(values))


@given(st.floats(-1e9, 1e9, allow_nan=False), st.floats(-1e9, 1e9, allow_nan=False), st.integers(2, 8))
def test_nice_axis_spans_its_range_with_few_rising_ticks(low: float, high: float, about: int) -> None:
    axis = nice_axis(low, high, about)
    little = 1e-6 * (axis.high - axis.low)
    assert axis.low <= low + little and axis.high >= high - little
    places = [tick.at for tick in axis.ticks]
    assert places == sorted(places) and 2 <= len(places) <= about + 3
    assert (places[0], places[-1]) == pytest.approx((0.0, 100.0))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 0.31, ["0.0", "0.1", "0.2", "0.3", "0.4"]),
        (0.0, 0.9, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (-17, 17, ["-20", "-10", "0", "10", "20"]),
    ],
)
def test_nice_axis_labels_are_round(low: float, high: float, labels: list[str]) -> None:
    assert [tick.label for tick in nice_axis(low, high, 4).ticks] == labels


def test_histogram_marks_percentiles_and_counts_what_is_beyond_the_axis() -> None:
    times = [0.1] * 500 + [0.2] * 490 + [50.0] * 2
    axis = time_axis([times])
    found = histogram(times, axis)
    assert (axis.low, found.beyond) == (0.0, 2)
    assert found.p50 == pytest.approx(100 * axis.share(percentile(times, 0.5)))
    assert found.p90 == pytest.approx(100 * axis.share(0.2))
    assert found.path.count("V6.0") == 1, "the highest bin, and it alone, has the full height"


def test_drift_is_in_percent_around_the_median_and_process_by_process() -> None:
    def block(process: int, ns: int, others: float | None = None) -> dict[str, object]:
        return {"process": process, "round": 0, "samples_ns": [ns], "batch": 1, "others_cpu_share": others}

    blocks = [block(1, 90), block(0, 100), block(0, 110, 0.6), {"process": 0, "samples_ns": []}]
    found = drift_percent({"blocks": blocks})
    assert list(found) == [0, 1]
    assert [round(value) for value, _ in found[0]] == [0, 10]
    assert [crowded for _, crowded in found[0]] == [False, True]
    assert round(found[1][0][0]) == -10


def test_lanes_put_processes_side_by_side_and_more_higher() -> None:
    axis = nice_axis(-10, 10)
    one, two = lanes({0: [(0.0, False), (10.0, True)], 1: [(-10.0, False)]}, axis)
    assert 0 <= one.left < one.dots[0].x < one.dots[1].x < one.right < two.left < two.dots[0].x < two.right <= 100
    assert [dot.y for dot in (*one.dots, *two.dots)] == pytest.approx([50.0, 0.0, 100.0])


def test_canary_is_in_percent_above_its_fastest() -> None:
    readings = [{"process": 0, "ns": 100}, {"process": 0, "ns": 150}, {"process": 1, "ns": 110}, {"ns": 0}, {}]
    found = canary_percent(readings)
    assert {process: [round(value) for value, _ in points] for process, points in found.items()} == {
        0: [0, 50],
        1: [10],
    }
    assert canary_percent([]) == {}
