"""Ranges: true extremes, percentiles and entropy of what was seen, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.quantization.ranges import BINS, Sample, entropy, extremes, minmax, observed, percentile

Array = NDArray[Any]


def _run(x: Array) -> Iterator[Sample]:
    for row in x:
        yield {"x": row, "relu": np.maximum(row, 0)}


def _seen(x: Array) -> Any:
    return observed(_run, [x])[0]


X = np.random.default_rng(0).normal(0, 1, (64, 1000)).astype(np.float32)


def test_extremes_are_those_of_all_samples() -> None:
    assert extremes(_run(X)) == {"x": (X.min(), X.max()), "relu": (0, X.max())}


def test_extremes_leave_a_masks_infinity_out() -> None:
    masked = np.array([[-np.inf, 1, 2], [-3.4e38, 0.5, np.nan]], np.float32)
    assert extremes({"mask": row} for row in masked) == {"mask": (0.5, 2)}
    assert extremes([{"mask": np.full(3, -np.inf, np.float32)}]) == {"mask": (0, 0)}


def test_minmax_of_what_was_counted_is_the_extremes() -> None:
    assert minmax(_seen(X)) == extremes(_run(X))


def test_parts_add_up_to_the_whole() -> None:
    one, other = observed(_run, [X[:40], X[40:]])
    whole = _seen(X)
    for name in whole:
        both = one[name] + other[name]
        assert (both.least, both.largest) == (whole[name].least, whole[name].largest)
        assert (both.counts == whole[name].counts).all()
        assert both.counts.sum() == X.size


@pytest.mark.parametrize("share", [99.0, 99.9])
def test_percentile_cuts_both_ends_of_a_tensor_with_two(share: float) -> None:
    found = percentile(_seen(X), share)["x"]
    for got, want in zip(found, np.percentile(X, [(100 - share) / 2, (100 + share) / 2]), strict=True):
        assert got == pytest.approx(want, abs=0.02)


def test_percentile_cuts_the_far_end_of_what_a_relu_gives() -> None:
    least, largest = percentile(_seen(X), 99.0)["relu"]
    assert least == 0
    assert largest == pytest.approx(np.percentile(np.maximum(X, 0), 99), abs=2 * float(X.max()) / BINS)


def test_percentile_cuts_nothing_where_nothing_is_far() -> None:
    flat = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    assert percentile(_seen(flat), 99.99) == minmax(_seen(flat))


def test_entropy_cuts_a_long_tail_and_keeps_a_flat_distribution() -> None:
    tail = X.copy()
    tail[0, 0], tail[1, 1] = 60, -50
    least, largest = entropy(_seen(tail))["x"]
    assert -10 < least < -2
    assert 2 < largest < 10
    flat = np.random.default_rng(1).uniform(0, 1, (64, 1000)).astype(np.float32)
    assert entropy(_seen(flat))["x"][1] > 0.95


def test_a_tensor_of_zeros_has_an_empty_range() -> None:
    seen = _seen(np.zeros((4, 5), np.float32))
    for ranges in (minmax(seen), percentile(seen, 99.9), entropy(seen)):
        assert ranges["x"] == (0, 0)
