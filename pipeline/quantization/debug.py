"""Where a quantised file departs from its float one: each tensor's error, range and histogram over real samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

BINS = 96


@dataclass(frozen=True)
class Held:
    """A tensor that both files compute. name: `<module>/<operator>`; low, high: what its eight bits can say, None where
    the quantised file has it in float."""

    name: str
    low: float | None
    high: float | None


class Pair(Protocol):
    """A float file and the quantised one that was made of it. tensors: in the order in which they are computed."""

    tensors: Sequence[Held]

    def values(self, x: Array) -> Iterator[list[tuple[Array, Array]]]:
        """(in float, in the quantised file) of every tensor, sample by sample of `x` [N, ...]."""
        ...


@dataclass(frozen=True)
class Departure:
    """How far one tensor departs.

    sqnr_db: signal to quantisation noise; worst: largest |difference| as a share of the float values' standard
    deviation. clipped: share of the float values beyond low..high; used: share of low..high that they span; both None
    in float. least, largest: of all values in both files; in_float, quantised: counts in BINS equal bins between them.
    """

    name: str
    sqnr_db: float
    worst: float
    low: float | None
    high: float | None
    clipped: float | None
    used: float | None
    least: float
    largest: float
    in_float: tuple[int, ...]
    quantised: tuple[int, ...]


def departures(pair: Pair, x: Array) -> list[Departure]:
    """Every tensor's departure over `x` [N, ...], in the files' order; tensors that hold infinities are left out.

    The samples are run twice, first for the histograms' ends: no more than one sample's tensors are held at a time.
    """
    ends = _ends(pair, x)
    sums = [_Sums(held, *ends[place]) for place, held in enumerate(pair.tensors)]
    for rows in pair.values(x):
        for one, (reference, other) in zip(sums, rows, strict=True):
            if one.finite:
                one.add(reference, other)
    return [one.departure() for one in sums if one.finite and one.count]


def worst_first(found: Sequence[Departure]) -> list[Departure]:
    """By SQNR, the lowest first; equal ones in the files' order."""
    return sorted(found, key=lambda one: one.sqnr_db)


def _ends(pair: Pair, x: Array) -> list[tuple[float, float]]:
    """(least, largest) of each tensor in both files."""
    ends = [(math.inf, -math.inf) for _ in pair.tensors]
    for rows in pair.values(x):
        for place, both in enumerate(rows):
            least, largest = ends[place]
            for one in both:
                # NaN must win: min() and max() of Python's would lose it.
                low, high = float(one.min()), float(one.max())
                least = low if math.isnan(low) or low < least else least
                largest = high if math.isnan(high) or high > largest else largest
            ends[place] = least, largest
    return ends


class _Sums:
    """What is added up over the samples for one tensor."""

    def __init__(self, held: Held, least: float, largest: float) -> None:
        import numpy as np

        self.held, self.least, self.largest = held, least, largest
        self.finite = math.isfinite(least) and math.isfinite(largest)
        self.count = self.clipped = 0
        self.power = self.noise = self.total = self.worst = 0.0
        self.float_least, self.float_largest = math.inf, -math.inf
        self.in_float, self.quantised = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)

    def add(self, reference: Array, other: Array) -> None:
        """One sample more."""
        import numpy as np

        value, error = reference.astype(np.float64), reference.astype(np.float64) - other
        self.count += value.size
        self.total += float(value.sum())
        self.power += float(np.square(value).sum())
        self.noise += float(np.square(error).sum())
        self.worst = max(self.worst, float(np.abs(error).max()))
        self.float_least = min(self.float_least, float(value.min()))
        self.float_largest = max(self.float_largest, float(value.max()))
        if self.held.low is not None and self.held.high is not None:
            half = (self.held.high - self.held.low) / 510  # what rounds to the last step is not cut off
            self.clipped += int(((value < self.held.low - half) | (value > self.held.high + half)).sum())
        width = (self.largest - self.least) or 1.0
        for counts, values in ((self.in_float, value), (self.quantised, other.astype(np.float64))):
            places = ((values.reshape(-1) - self.least) / width * BINS).astype(np.int64)
            counts += np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)

    def departure(self) -> Departure:
        """The figures."""
        low, high, mean = self.held.low, self.held.high, self.total / self.count
        spread = math.sqrt(max(self.power / self.count - mean**2, 0.0))
        clipped = used = None
        if low is not None and high is not None:
            clipped = self.clipped / self.count
            used = max(0.0, min(self.float_largest, high) - max(self.float_least, low)) / max(high - low, 1e-30)
        return Departure(
            self.held.name,
            10 * math.log10(max(self.power, 1e-30) / max(self.noise, 1e-30)),
            self.worst / max(spread, 1e-12),
            low,
            high,
            clipped,
            used,
            self.least,
            self.largest,
            tuple(int(one) for one in self.in_float),
            tuple(int(one) for one in self.quantised),
        )
