"""Verdicts on whole series: steps are found where they are, noise alone isn't, and what can't be judged is said."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.farm.ledger.points import Series
from device_agents.farm.series import SeriesVerdict, Settings, judge
from tests.device_agents.farm.series.nightly import KEY, levels, series


def _only(given: Series, how: Settings | None = None) -> SeriesVerdict:
    (verdict,) = judge([given], how or Settings())
    return verdict


@pytest.mark.parametrize("seed", range(5))
def test_a_step_is_found_on_its_second_night_or_third_and_where_it_is(seed: int) -> None:
    found = _only(series(levels(60, 3, seed=seed)))
    assert (found.verdict, found.worse) == ("slower", True)
    (change,) = found.changes
    assert (change.seq, change.report) == (60, "report-60")
    assert change.found in (61, 62)
    assert change.ratio.low < 1.05 < change.ratio.high
    assert change.p is not None and change.p < 1e-4


def test_a_step_down_is_faster() -> None:
    found = _only(series(levels(60, 4, 0.9)))
    assert (found.verdict, found.worse) == ("faster", False)
    assert found.ratio is not None and found.ratio.high < 1
    assert found.reason.startswith("9.")
    assert "% faster [" in found.reason


def test_noise_alone_is_no_change() -> None:
    verdicts = judge([series(levels(200, 0, seed=seed), key=replace(KEY, variant=str(seed))) for seed in range(20)])
    assert [verdict.changes for verdict in verdicts] == [()] * 20
    assert sum(verdict.verdict == "same" for verdict in verdicts) >= 18


def test_a_step_below_the_smallest_magnitude_is_no_change_however_sure() -> None:
    values = levels(100, 50, 1.015, sd=0.001)
    assert _only(series(values)).changes == ()
    assert len(_only(series(values), Settings(magnitude=0.01)).changes) == 1


def test_one_bad_night_is_undecided_and_then_forgotten() -> None:
    values = levels(60, 0)
    values[-1] *= 1.1
    bad = _only(series(values))
    assert (bad.verdict, bad.changes) == ("undecided", ())
    assert "perhaps" in bad.reason and "tonight: not yet enough nights" in bad.reason
    after = _only(series([*values, *levels(5, 0, seed="after")]))
    assert (after.verdict, after.changes) == ("same", ())


def test_a_bad_week_is_two_changes() -> None:
    values = levels(60, 0) + levels(0, 7, 1.1, seed=1) + levels(60, 0, seed=2)
    found = _only(series(values))
    assert [change.seq for change in found.changes] == [60, 67]
    assert [change.worse for change in found.changes] == [True, False]
    assert found.verdict == "same"


def test_a_change_stays_the_verdict_for_a_week_and_then_is_the_level() -> None:
    values = levels(60, 30)
    said = {nights: _only(series(values[: 60 + nights])) for nights in (3, 7, 8, 30)}
    assert [said[nights].verdict for nights in (3, 7, 8)] == ["slower", "slower", "same"]
    assert [len(one.changes) for one in said.values()] == [1, 1, 1, 1]
    assert said[30].ratio is not None and said[30].ratio.low < 1 < said[30].ratio.high


def test_an_alarm_is_raised_on_one_night_only() -> None:
    values = levels(60, 10)
    alarms = [night for night in range(60, 70) if _only(series(values[: night + 1])).found_tonight]
    assert alarms == [61]


def test_an_alarm_that_a_later_report_of_the_night_settles_is_raised_too() -> None:
    # Each alone is too weak for so strict a rule; together they pass, once enough of them have reported.
    def nightly(number: int, step: float) -> Series:
        given = series(levels(60, 2, step, seed=number), key=replace(KEY, variant=str(number)))
        return replace(given, points=tuple(replace(p, seq=100 * p.seq + number) for p in given.points))

    verdicts = judge([nightly(number, 1.05) for number in range(12)], Settings(alpha=1e-6))
    assert all(verdict.found_tonight for verdict in verdicts if verdict.changes)
    assert any(verdict.changes and verdict.changes[0].found > (verdict.seq or 0) for verdict in verdicts)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), nights=st.integers(10, 100), kept=st.integers(1, 100))
def test_what_was_found_stays_found(seed: int, nights: int, kept: int) -> None:
    steps = [levels(nights // 2, nights // 2, 1.08, 0.02, f"{seed} {one}") for one in "ab"]
    given = [series(values, canary=levels(nights, 0)) for values in steps]
    short = [replace(one, points=one.points[:kept]) for one in given]
    for now, then in zip(judge(given), judge(short), strict=True):
        known = [(change.seq, change.found, change.p) for change in now.changes]
        assert known[: len(then.changes)] == [(change.seq, change.found, change.p) for change in then.changes]
        assert all(change.found >= kept for change in now.changes[len(then.changes) :])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_scaling_all_values_changes_nothing(seed: int, scale: float) -> None:
    values = levels(40, 20, 1.06, 0.02, seed)
    one, other = _only(series(values)), _only(series([value * scale for value in values]))
    assert [change.seq for change in one.changes] == [change.seq for change in other.changes]
    assert one.verdict == other.verdict
    if one.ratio and other.ratio:
        assert one.ratio.value == pytest.approx(other.ratio.value)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_turning_a_step_round_turns_its_sign(seed: int) -> None:
    values = levels(60, 5, 1.08, 0.01, seed)
    up, down = _only(series(values)), _only(series([1e12 / value for value in values]))
    assert [change.seq for change in up.changes] == [change.seq for change in down.changes]
    for one, other in zip(up.changes, down.changes, strict=True):
        assert one.worse is not other.worse
        assert one.ratio.value == pytest.approx(1 / other.ratio.value)
        assert one.ratio.low == pytest.approx(1 / other.ratio.high)


def test_seq_orders_the_nights_and_no_clock_or_place_does() -> None:
    given = series(levels(60, 4))
    points = [replace(point, started=f"20{99 - point.seq:02d}-01-01T00:00:00Z") for point in given.points]
    random.Random(1).shuffle(points)
    assert _only(Series(KEY, tuple(points))).changes == _only(given).changes


@pytest.mark.parametrize("nights", [1, 2, 5])
def test_a_young_series_is_undecided(nights: int) -> None:
    found = _only(series(levels(nights, 0)))
    assert (found.verdict, found.ratio, found.changes) == ("undecided", None, ())
    assert found.reason.startswith(f"only {nights} night")


def test_no_series_and_no_points_give_no_verdict() -> None:
    assert judge([]) == []
    assert judge([Series(KEY, ())]) == []


def test_a_young_series_finds_a_large_step_by_the_fence_and_no_small_one() -> None:
    assert [change.seq for change in _only(series(levels(5, 3, 1.2))).changes] == [5]
    assert [change.seq for change in _only(series(levels(12, 3, 1.12))).changes] == [12]
    assert _only(series(levels(5, 3, 1.03))).changes == ()


def test_a_wide_spread_within_the_nights_makes_a_step_unsure() -> None:
    given = series(levels(60, 3, 1.06))

    def with_blocks(sd: float) -> Series:
        rng = random.Random(4)
        points = []
        for point in given.points:
            around = [rng.gauss(0, sd) for _ in range(6)]
            middle = sum(sorted(around)[2:4]) / 2
            blocks = tuple(point.values["latency"] * math.exp(one - middle) for one in around)
            points.append(replace(point, blocks=blocks))
        return replace(given, points=tuple(points))

    assert _only(with_blocks(0.01)).verdict == "slower"
    assert _only(with_blocks(0.20)).changes == ()


def test_latency_is_the_median_of_the_blocks_where_there_are_any() -> None:
    given = series([1e6] * 40)
    points = [replace(p, blocks=(9.9e5, 1e6, 1.02e6, float("nan"), -1.0)) for p in given.points]
    other = [replace(p, blocks=(1.08e6, 1.1e6, 1.11e6)) for p in series([1e6] * 3, first=40).points]
    (change,) = _only(Series(KEY, (*points, *other))).changes
    assert change.seq == 40
    assert change.ratio.value == pytest.approx(1.1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -3.0, True, "fast"])
def test_a_value_that_is_no_measurement_is_skipped_with_its_reason(bad: float) -> None:
    values = levels(60, 3)
    clean = _only(series(values))
    found = _only(series([*values[:30], bad, *values[30:]]))
    assert found.nights == 63
    assert found.skipped == (f"report-30: latency is {bad!r}, which can't be compared",)
    assert [change.seq - 1 for change in found.changes] == [change.seq for change in clean.changes]


def test_values_of_any_size_give_a_finite_verdict() -> None:
    for values in ([1e-300] * 40 + [1e300] * 4, [1e300] * 40 + [1e-300] * 4, [1.7e308] * 44):
        for metric in ("latency", "memory", "size"):
            json.dumps(_only(series(values, metric)).to_json(), allow_nan=False)


def test_a_series_of_bad_values_only_is_undecided() -> None:
    found = _only(series([0.0, -1.0], "energy"))
    assert (found.verdict, found.nights, found.seq) == ("undecided", 0, None)
    assert found.reason == "no night that can be judged"
    assert len(found.skipped) == 2


def test_memory_that_never_varies_is_judged_too() -> None:
    found = _only(series([5e6] * 40 + [5.5e6] * 2, "memory"))
    assert (found.verdict, found.worse) == ("worse", True)
    assert found.reason.startswith("10.0 % more memory")
    assert _only(series([5e6] * 40 + [5.05e6] * 5, "memory")).changes == ()


def test_memory_of_a_page_more_on_some_nights_is_no_change() -> None:
    rng = random.Random(2)
    values = [5e6 * (1.03 if rng.random() < 0.3 else 1.0) for _ in range(300)]
    # While it is young it can't know that this is its way.
    assert [change for change in _only(series(values, "memory")).changes if change.found >= 30] == []


def test_every_metric_of_every_series_gets_a_verdict_in_order() -> None:
    first = series(levels(30, 0))
    points = [replace(p, values={"accuracy": 0.9, "size": 3.0, "latency": 1.0, "colour": 3.0}) for p in first.points]
    second = replace(first, key=replace(KEY, variant="other"), points=tuple(points))
    found = [(verdict.key.variant, verdict.metric) for verdict in judge([second, first])]
    assert found == [("other", "latency"), ("other", "size"), ("other", "accuracy"), ("int8", "latency")]


def test_a_verdict_is_json() -> None:
    found = _only(series(levels(60, 4), canary=levels(64, 0, sd=0.001)))
    given = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert given["key"]["model"] == "resnet8"
    assert given["verdict"] == "slower"
    assert given["ratio"]["low"] < given["ratio"]["value"] < given["ratio"]["high"]
    (change,) = given["changes"]
    assert set(change) >= {"seq", "report", "found", "ratio", "p", "causes", "canary", "net"}


def test_a_drift_that_the_canary_shares_hides_no_step_of_the_model() -> None:
    rng = random.Random(5)
    shared = [math.exp(0.02 * math.sin(night / 9.5)) for night in range(200)]
    values = [1e6 * (1.05 if night >= 190 else 1) * one * (1 + rng.gauss(0, 0.01)) for night, one in enumerate(shared)]
    canary = [2e5 * one * (1 + rng.gauss(0, 0.005)) for one in shared]
    alone, beside = _only(series(values)), _only(series(values, canary=canary))
    assert not any(change.seq == 190 for change in alone.changes)
    (change,) = [change for change in beside.changes if change.seq >= 150]
    assert (change.seq, change.causes[0].what) == (190, "unknown")


def test_a_canary_that_moves_alone_is_no_change_of_the_model() -> None:
    canary = [1e5] * 60 + [1.1e5] * 10
    assert _only(series(levels(70, 0), canary=canary)).changes == ()
