"""Ranges of activations from what a float file computes: true extremes, percentiles and entropy, of any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

BINS = 2048
"""Of |x|: eight for each step of a one-sided tensor, sixteen of a two-sided one's.

(onnxruntime's "entropy" has 128 bins for 128 steps, so nothing can be cut and its result is min and max.)"""
STRIDE = 16
"""Bins between the thresholds that entropy tries."""
FINITE = 3e38
"""What is larger is a mask's infinity (as bfloat16 has it), no value to make room for."""

Ranges = Mapping[str, tuple[float, float]]
"""{tensor: (least, largest)}."""
Sample = Mapping[str, "Array"]
"""{tensor: what a float file computes for it, of one input}."""


@dataclass(frozen=True)
class Seen:
    """What one tensor was seen to hold: its extremes, and counts [2 * BINS] over [-most, most], split at zero."""

    least: float
    largest: float
    most: float
    counts: Array

    @property
    def one_sided(self) -> bool:
        """Of one sign, as what a ReLU gives: all 256 steps lie on one side of zero."""
        return self.least >= 0 or self.largest <= 0

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            min(self.least, other.least), max(self.largest, other.largest), self.most, self.counts + other.counts
        )


def extremes(samples: Iterable[Sample]) -> dict[str, tuple[float, float]]:
    """Each tensor's least and largest finite value over all samples; (0, 0) where it holds none."""
    import numpy as np

    found: dict[str, tuple[float, float]] = {}
    for sample in samples:
        for name, values in sample.items():
            least, largest = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
            if not (least >= -FINITE and largest <= FINITE):
                finite = values[np.abs(values) <= FINITE]  # drops NaN too
                if not finite.size:
                    continue
                least, largest = float(finite.min()), float(finite.max())
            before = found.get(name, (least, largest))
            found[name] = min(before[0], least), max(before[1], largest)
        for name in sample:
            found.setdefault(name, (0.0, 0.0))
    return found


def observed(run: Callable[[Array], Iterable[Sample]], parts: list[Array]) -> list[dict[str, Seen]]:
    """Every tensor as each of `parts` [N, ...] shows it, in two passes: extremes, then counts with the bins shared.

    `run` gives sample after sample, so memory holds one sample's tensors and BINS numbers a tensor. Parts can be added
    up. The same array given twice is run once.
    """
    import numpy as np

    own = {id(x): extremes(run(x)) for x in parts}
    most: dict[str, float] = {}
    for found in own.values():
        for name, (least, largest) in found.items():
            most[name] = max(most.get(name, 0.0), -least, largest)
    counted: dict[int, dict[str, Array]] = {}
    for x in parts:
        if id(x) in counted:
            continue
        counts = counted[id(x)] = {name: np.zeros(2 * BINS, np.int64) for name in most}
        for sample in run(x):
            for name, values in sample.items():
                counts[name] += _counts(values, most[name])
    return [{name: Seen(*ends, most[name], counted[id(x)][name]) for name, ends in own[id(x)].items()} for x in parts]


def minmax(seen: Mapping[str, Seen]) -> dict[str, tuple[float, float]]:
    """All that was seen."""
    return {name: (one.least, one.largest) for name, one in seen.items()}


def percentile(seen: Mapping[str, Seen], share: float) -> dict[str, tuple[float, float]]:
    """`share` percent of the values: the rest is cut at the far end of a one-sided tensor, at both of another."""
    import numpy as np

    found = {}
    for name, one in seen.items():
        total, width = int(one.counts.sum()), one.most / BINS
        cut = (1 - share / 100) * total / (1 if one.one_sided else 2)
        below = np.cumsum(one.counts)
        # The bins that a cut falls into are kept.
        first = int(np.searchsorted(below, cut, side="right"))
        last = int(np.searchsorted(below, total - cut, side="left"))
        low, high = (first - BINS) * width, (last + 1 - BINS) * width
        least = one.least if one.least >= 0 else max(one.least, low)
        largest = one.largest if one.largest <= 0 else min(one.largest, high)
        found[name] = (least, largest) if least <= largest else (one.least, one.largest)
    return found


def entropy(seen: Mapping[str, Seen]) -> dict[str, tuple[float, float]]:
    """Cut at the threshold whose 8-bit values tell most of the distribution: the least Kullback-Leibler divergence.

    The method of Migacz, "8-bit inference with TensorRT", GTC 2017; its 128 steps are those of a two-sided tensor,
    one-sided ones have 256.
    """
    found = {}
    for name, one in seen.items():
        magnitudes = one.counts[BINS:] + one.counts[BINS - 1 :: -1]
        threshold = _threshold(magnitudes, 256 if one.one_sided else 128) * one.most / BINS
        found[name] = max(one.least, -threshold), min(one.largest, threshold)
    return found


def _counts(values: Array, most: float) -> Array:
    import numpy as np

    if not most > 0:
        return np.zeros(2 * BINS, np.int64)
    flat = values.reshape(-1)
    with np.errstate(invalid="ignore"):
        flat = flat[np.abs(flat) <= most] if not np.abs(flat).max(initial=0) <= most else flat
    places = np.floor(flat * (BINS / most)).astype(np.int64) + BINS
    return np.bincount(np.clip(places, 0, 2 * BINS - 1), minlength=2 * BINS)


def _threshold(counts: Array, steps: int) -> int:
    """How many of the bins `counts` [BINS] of |x| the range should keep."""
    import numpy as np

    counts = counts.astype(np.float64)
    counts[0] = counts[1]  # zeros are exact in every range: the many that a ReLU makes tell nothing of where to cut
    if not counts.any():
        return BINS
    best = np.inf, BINS
    for stop in range(steps, BINS + 1, STRIDE):
        inside = counts[:stop]
        reference = inside.copy()
        reference[-1] += counts[stop:].sum()
        step = np.arange(stop) * steps // stop
        held, filled = np.bincount(step, inside, steps), np.bincount(step, inside > 0, steps)
        coarse = np.where(inside > 0, (held / np.maximum(filled, 1))[step], 0)
        if not coarse.any():
            continue
        p, q = reference / reference.sum(), np.maximum(coarse / coarse.sum(), 1e-12)
        some = p > 0
        divergence = float((p[some] * np.log(p[some] / q[some])).sum())
        best = min(best, (divergence, stop))
    return best[1]
