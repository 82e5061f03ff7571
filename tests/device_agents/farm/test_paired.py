"""The interval of a speed-up: as wide as the noise, and never from thin air."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.farm.paired import Ratio, block_medians, compare, latency, speedup
from tests.device_agents.farm.sample import make_blocks


def _result(ms: float, **how: Any) -> dict[str, Any]:
    return {"blocks": make_blocks(ms, samples=3, **how)}


def _trials(count: int, ratio: float, **how: Any) -> list[Ratio]:
    found = []
    for trial in range(count):
        pair = (_result(0.2, seed=f"{trial} base", **how), _result(0.2 / ratio, seed=f"{trial} other", **how))
        measured = speedup(*pair, seed=trial)
        assert measured is not None
        found.append(measured)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "between"), [(0.03, 0.0), (0.03, 0.01), (0.02, 0.02)])
def test_speedup_interval_covers_the_true_ratio_about_as_often_as_it_says(noise: float, between: float) -> None:
    found = _trials(200, 1.9, noise=noise, between=between)
    covered = sum(r.low <= 1.9 <= r.high for r in found) / len(found)
    assert covered >= 0.90, f"{covered:.1%} of the 95 % intervals hold the true ratio"
    # Everything would be covered by an interval of any width: it must also be of use.
    assert sorted(r.high / r.low for r in found)[100] < (1.08 if between <= 0.01 else 1.2)


def test_speedup_of_equal_variants_is_rarely_called_a_change() -> None:
    said = [compare(r) for r in _trials(60, 1.0, noise=0.03, between=0.01)]
    assert said.count("faster") + said.count("slower") <= 2


def test_speedup_of_a_tenth_is_found_through_the_noise() -> None:
    said = [compare(r) for r in _trials(40, 1.1, noise=0.02, between=0.005)]
    assert said.count("faster") >= 36


def test_speedup_cancels_a_drift_that_both_variants_share() -> None:
    quiet: dict[str, Any] = {"noise": 1e-6, "between": 0.0, "samples": 1}
    base = {"blocks": make_blocks(0.2, drift=0.05, seed="a", **quiet)}
    other = {"blocks": make_blocks(0.1, drift=0.05, seed="a", **quiet)}
    measured = speedup(base, other)
    assert measured is not None
    assert measured.value == pytest.approx(2.0, rel=1e-3)
    assert measured.high / measured.low < 1.001


def test_speedup_is_the_same_for_the_same_samples_and_differs_by_direction() -> None:
    base, other = _result(0.2, seed="x"), _result(0.1, seed="y")
    there, back = speedup(base, other), speedup(other, base)
    assert there == speedup(base, other)
    assert there is not None and back is not None
    assert there.value == pytest.approx(1 / back.value)


def test_speedup_divides_by_the_batch() -> None:
    base = {"blocks": [{"process": 0, "round": r, "samples_ns": [1000], "batch": 1} for r in range(4)]}
    other = {"blocks": [{"process": 0, "round": r, "samples_ns": [5000], "batch": 10} for r in range(4)]}
    measured = speedup(base, other)
    assert measured is not None
    assert (measured.value, measured.low, measured.high) == pytest.approx((2.0, 2.0, 2.0))


def test_speedup_pairs_only_blocks_of_the_same_process_and_round() -> None:
    base = {"blocks": [{"process": 0, "round": r, "samples_ns": [1000 * 2**r], "batch": 1} for r in range(4)]}
    other = {"blocks": [{"process": 0, "round": r, "samples_ns": [500 * 2**r], "batch": 1} for r in (3, 1, 2)]}
    measured = speedup(base, other)
    assert measured is not None and measured.value == pytest.approx(2.0)
    stray = {"blocks": [{"process": 9, "round": r, "samples_ns": [500], "batch": 1} for r in range(4)]}
    assert speedup(base, stray) is None


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [{"process": 0, "round": 0, "samples_ns": [], "batch": 1}],
        [{"process": 0, "round": 0, "samples_ns": [0, -3, None, "x", True, math.nan, math.inf], "batch": 1}],
        [{"process": 0, "round": 0, "samples_ns": [5], "batch": 0}],
        [{"process": 0, "round": 0, "samples_ns": None, "batch": None}],
        [{}],
    ],
    ids=["none", "empty", "no times", "batch 0", "nulls", "no keys"],
)
def test_speedup_and_latency_of_unusable_blocks_are_none(blocks: list[dict[str, Any]]) -> None:
    good = _result(0.2)
    assert block_medians(blocks) == []
    assert latency({"blocks": blocks}) is None
    assert speedup(good, {"blocks": blocks}) is None
    assert speedup({"blocks": blocks}, good) is None


def test_speedup_of_one_pair_of_blocks_is_none_because_its_spread_is_unknown() -> None:
    one = {"blocks": [{"process": 0, "round": 0, "samples_ns": [100, 101], "batch": 1}]}
    assert latency(one) is not None
    assert speedup(one, one) is None


def test_speedup_of_two_processes_with_one_block_each_has_an_interval_that_says_how_little_is_known() -> None:
    def pair(first: int, second: int) -> dict[str, Any]:
        return {"blocks": [{"process": p, "round": 0, "samples_ns": [ns]} for p, ns in enumerate((first, second))]}

    measured = speedup(pair(1000, 1000), pair(500, 480))
    assert measured is not None
    assert measured.low < 1.9 and measured.high > 2.2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(0, 10**15), max_size=3)), max_size=12
    ),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(0, 10**15), max_size=3)), max_size=12
    ),
)
def test_speedup_of_any_samples_is_finite_and_ordered(one: list[Any], other: list[Any]) -> None:
    def result(rows: list[Any]) -> dict[str, Any]:
        return {"blocks": [{"process": p, "round": r, "samples_ns": s, "batch": 1} for p, r, s in rows]}

    measured = speedup(result(one), result(other))
    if measured is not None:
        assert 0 < measured.low <= measured.value <= measured.high < math.inf


def test_latency_gives_percentiles_over_all_blocks() -> None:
    samples = [*range(1_000_000, 101_000_000, 1_000_000)]
    random.Random(0).shuffle(samples)
    result = {"blocks": [{"samples_ns": samples[:50], "batch": 1}, {"samples_ns": samples[50:], "batch": 1}]}
    found = latency(result)
    assert found is not None
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.n) == pytest.approx((50.5, 90.1, 99.01, 100))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.03, 1.2, "faster"),
        (0.8, 0.97, "slower"),
        (0.99, 1.01, "same"),
        (0.98, 1.02, "same"),
        (1.02, 1.2, "undecided"),
        (0.9, 0.98, "undecided"),
        (0.5, 2.0, "undecided"),
    ],
)
def test_compare_holds_the_whole_interval_against_the_threshold(low: float, high: float, said: str) -> None:
    assert compare(Ratio((low + high) / 2, low, high)) == said
