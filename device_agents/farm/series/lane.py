"""A lane: log figures tested for a step, night by night. The raw figures are one, those net of the canary another.

The newest few nights are set against the nights before them, for several lengths of "few": the two-window form of
E-divisive (Matteson & James, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data",
JASA 109, 2014) with a t-test for its random permutations, as in Hunter, now Apache Otava (Fleming et al., "Hunter:
Using Change Point Detection to Hunt for Performance Regressions", ICPE 2023; Daly et al., ICPE 2020, for E-divisive
in CI). Unlike them it never looks ahead of the night it judges, so what was found stays found.

The noise of a comparison is the largest of three: the scatter from night to night, the spread within the nights
themselves, and what the same comparison showed in earlier nights, which sees drifts that the other two can't.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from device_agents.farm.series.nights import Figure
from device_agents.farm.series.noise import FENCE, fence, root_mean_square, scatter
from device_agents.farm.series.settings import Settings
from device_agents.farm.student import quantile, two_sided_p

LEAST = 3
"""Nights that a level needs before anything is compared with it."""

_LEFT = 0.7
"""The share of a step that must be left without its farthest night."""


@dataclass(frozen=True)
class Step:
    """A change of level: the place of its first night, its size in logs, its standard error and degrees of freedom."""

    place: int
    size: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """How often noise alone would look so, or more so, in one comparison."""
        return two_sided_p(self.size / self.error, self.freedom)

    @property
    def reach(self) -> float:
        """Half the 95 % interval, in logs."""
        return quantile(0.95, self.freedom) * self.error


class Lane:
    """Log figures so far, and where their level last changed. `place` counts the nights of the metric, which a lane
    may have fewer of (nights without a canary)."""

    def __init__(self, settings: Settings, spans: Sequence[int] = ()) -> None:
        """spans: the comparisons that will be made, and so are learned from; none for a lane that isn't watched."""
        self.settings = settings
        self.places: list[int] = []
        self.start = 0
        self._logs: list[float] = []
        self._spreads: list[float] = []
        self._changes: list[float | None] = []
        self._earlier: dict[int, list[tuple[int, float]]] = {span: [] for span in spans}
        self._noise: dict[int, tuple[list[float], float]] = {}
        self._smallest = math.log1p(settings.magnitude)

    def add(self, place: int, figure: Figure) -> None:
        """One more night."""
        self._changes.append(figure.log - self._logs[-1] if self._logs else None)
        self.places.append(place)
        self._logs.append(figure.log)
        self._spreads.append(figure.spread)
        end = len(self._logs)
        for span, units in self._earlier.items():
            if end > span and (found := self._difference(end - span, end, 0)) is not None:
                units.append((end, found[0] / math.sqrt(1 / span + 1 / (end - span - found[1]))))

    def newest(self, spans: Sequence[int]) -> Step | None:
        """The likeliest step of at least the smallest magnitude that ends with the newest night, or None."""
        found = [step for span in spans if (step := self._try(span)) is not None]
        return min(found, key=lambda step: (step.p, step.error), default=None)

    def begin(self, place: int) -> None:
        """The level changed with the night of this place: nights before it are no longer compared with."""
        self.start = self._index(place)
        if self.start < len(self._changes):
            self._changes[self.start] = None
            self._noise.clear()

    def size(self, place: int) -> float | None:
        """The step at this place up to the newest night, in logs; None where there is too little on either side."""
        middle = self._index(place)
        found = self._difference(middle, len(self._logs), self.start) if middle < len(self._logs) else None
        return found[0] if found else None

    def between(self, first: int, place: int, last: int) -> Step | None:
        """The nights from `place` up to (not with) `last` against those from `first` up to `place`, the nearest to it
        on either side. None where one of them has no night."""
        low, middle, high = self._index(first), self._index(place), self._index(last)
        reach = self.settings.before
        low, high = max(low, middle - reach), min(high, middle + reach)
        if not low < middle < high:
            return None
        size = _level(self._logs[middle:high]) - _level(self._logs[low:middle])
        span = max((span for span in self._earlier if span <= high - middle), default=0)
        return self._step(size, low, middle, high, span)

    def _index(self, place: int) -> int:
        return bisect_left(self.places, place)

    def _difference(self, middle: int, end: int, start: int) -> tuple[float, int] | None:
        """Nights [middle, end) less the level before them (not before `start`), and the first night of that level."""
        low = max(start, middle - max(self.settings.before, 2 * (end - middle)))
        if middle - low < LEAST:
            return None
        return fmean(self._logs[middle:end]) - _level(self._logs[low:middle]), low

    def _try(self, span: int) -> Step | None:
        end = len(self._logs)
        middle = end - span
        found = self._difference(middle, end, self.start) if middle > 0 else None
        if found is None:
            return None
        size, low = found
        if abs(size) < self._smallest:
            return None
        if span > 1 and _carried(self._logs[middle:end], size):
            return None
        step = self._step(size, low, middle, end, 0)
        # Below what is suspected even with endless history: not worth a look at what it showed before.
        if abs(size) < quantile(1 - self.settings.suspect, math.inf) * step.error:
            return None
        return self._step(size, low, middle, end, span)

    def _step(self, size: float, low: int, middle: int, high: int, span: int) -> Step:
        """The step of this size between nights [low, middle) and [middle, high).

        span: what its noise is learned from in earlier nights; 0 for nothing.
        """
        settings = self.settings
        place, left, right = self.places[middle], middle - low, high - middle
        own_left = math.sqrt(fmean([spread * spread for spread in self._spreads[low:middle]]))
        own_right = math.sqrt(fmean([spread * spread for spread in self._spreads[middle:high]]))
        changes, noise = self._known(high)
        if len(changes) < settings.short:
            bound = fence(changes, max(own_left, own_right), settings)
            return Step(place, size, bound / FENCE, math.inf)
        units = [unit for end, unit in self._earlier.get(span, [])[-settings.history - span :] if end <= middle]
        if len(units) >= settings.short:
            noise = max(noise, root_mean_square(units, settings.floor))
        error = math.sqrt(max(noise, own_left) ** 2 / left + max(noise, own_right) ** 2 / right)
        # A scatter by successive differences is worth two thirds of its differences (von Neumann, 1941).
        return Step(place, size, error, 2 / 3 * len(changes))

    def _known(self, high: int) -> tuple[list[float], float]:
        """Night-to-night changes of the nights up to `high`, without those where the level changed, and their scatter.

        A step that isn't found yet is among them: one, which is clipped.
        """
        if high not in self._noise:
            first = max(0, high - self.settings.history)
            changes = [change for change in self._changes[first:high] if change is not None]
            noise = scatter(changes, self.settings.floor) if changes else 0.0
            self._noise = {high: (changes, noise)}
        return self._noise[high]


def _carried(logs: Sequence[float], size: float) -> bool:
    """Whether one night carries the whole step: a bad one, or the first one after a larger step that is still to be
    confirmed. Without the farthest one, most of the step must be left."""
    farthest = max(logs) if size > 0 else min(logs)
    less = (fmean(logs) - farthest) / (len(logs) - 1)
    return (size + less) / size < _LEFT


def _level(logs: Sequence[float]) -> float:
    """Mean without the lowest and the highest eighth: one bad night doesn't move it, and two modes don't tear it."""
    cut = len(logs) // 8
    return fmean(sorted(logs)[cut : len(logs) - cut]) if cut else fmean(logs)
