"""Geometry of the page's charts: numbers and SVG paths only. Words are laid over them by the template.

Every chart has a box of 1000 by 100 units that the page stretches; so positions double as percentages of the width
and height, and text keeps its size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device_agents.farm.paired import block_medians, calls_ns, percentile

WIDTH, HEIGHT = 1000.0, 100.0
CROWDED = 0.50
"""Share of a core taken by others at which a block is marked; one block is too short for a finer figure."""

_BINS = 140
_AIR = 0.12
"""Part of a stair's height that stays free above the highest tread, for its label."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in percent from the left or the top, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[Tick, ...]

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1, held within the axis."""
        span = self.high - self.low
        return min(1.0, max(0.0, (value - self.low) / span)) if span > 0 else 0.5


@dataclass(frozen=True)
class Tread:
    """One step of a stair: its path, and its top in percent from above."""

    path: str
    top: float
    rise: str


@dataclass(frozen=True)
class Histogram:
    """One distribution: the outline, the percent at which p50 and p90 stand, and samples beyond the axis."""

    path: str
    p50: float
    p90: float
    beyond: int


@dataclass(frozen=True)
class Dot:
    """One point in percent of width and height; `crowded` where others took much of the core."""

    x: float
    y: float
    crowded: bool
    title: str


@dataclass(frozen=True)
class Lane:
    """One process's points, left to right, with the line through them and the lane's left and right in percent."""

    label: str
    left: float
    right: float
    line: str
    dots: tuple[Dot, ...]


def nice_axis(low: float, high: float, about: int = 5, unit: str = "") -> Axis:
    """An axis over at least low..high with round ticks (1, 2, 2.5 or 5 times a power of ten)."""
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    # A span that floats can hardly tell from nothing has no ticks of its own.
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-200):
        high = low + (abs(low) if abs(low) > 1e-200 else 1.0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    places = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if abs(step / power - 2.5) < 1e-6 else 0)
    axis = Axis(first * step, last * step, ())
    ticks = [Tick(100 * axis.share(i * step), f"{i * step:.{places}f}{unit}") for i in range(first, last + 1)]
    return Axis(axis.low, axis.high, tuple(ticks))


def stair(values: Sequence[float | None]) -> list[Tread | None]:
    """Treads of equal width and of a height in proportion to each value; None where there is no value."""
    known = [value for value in values if value is not None]
    highest = max(known, default=0.0) or 1.0
    wide = WIDTH / max(1, len(values))
    treads: list[Tread | None] = []
    before: float | None = None
    for i, value in enumerate(values):
        if value is None:
            treads.append(None)
            continue
        top = HEIGHT * (1 - (1 - _AIR) * max(value, 0.0) / highest)
        left, right = i * wide, (i + 1) * wide
        path = f"M{left:.1f} {HEIGHT:.1f}V{top:.2f}H{right:.1f}V{HEIGHT:.1f}Z"
        # The riser that joins this tread to the one before it.
        rise = f"M{left:.1f} {before if before is not None else top:.2f}V{top:.2f}H{right:.1f}"
        treads.append(Tread(path, top, rise))
        before = top
    return treads


def times_ms(result: Mapping[str, Any]) -> list[float]:
    """All raw samples of a result in milliseconds, in rising order."""
    return sorted(ns / 1e6 for block in result.get("blocks") or [] for ns in calls_ns(block))


def time_axis(results: Sequence[Sequence[float]]) -> Axis:
    """One axis in milliseconds for all distributions: from zero to beyond the largest p90: tails are no frame."""
    return nice_axis(0.0, max((percentile(times, 0.9) for times in results if times), default=1.0) * 1.1)


def histogram(times: Sequence[float], axis: Axis) -> Histogram:
    """The outline of the samples' histogram on the axis, its highest bin as high as the box.

    Heights are square roots of counts (Tukey's rootogram): of 48,000 samples the tail would else not be seen.
    """
    counts = [0] * _BINS
    beyond = 0
    for value in times:
        if value > axis.high:
            beyond += 1
        else:
            counts[min(_BINS - 1, int(axis.share(value) * _BINS))] += 1
    highest = max(counts) or 1
    bin_width = WIDTH / _BINS
    path = [f"M0 {HEIGHT:.0f}"]
    for i, count in enumerate(counts):
        if count or (i and counts[i - 1]):
            path.append(f"H{i * bin_width:.1f}V{HEIGHT * (1 - 0.94 * math.sqrt(count / highest)):.1f}")
    path.append(f"H{WIDTH:.0f}V{HEIGHT:.0f}Z")
    return Histogram(
        "".join(path), 100 * axis.share(percentile(times, 0.5)), 100 * axis.share(percentile(times, 0.9)), beyond
    )


def drift_percent(result: Mapping[str, Any]) -> dict[int, list[tuple[float, bool]]]:
    """Block medians by process, in percent above the median of all, and whether the core was shared while it ran."""
    medians = block_medians(result.get("blocks") or [])
    if not medians:
        return {}
    middle = percentile(sorted(m.ns for m in medians), 0.5)
    usable = [block for block in result["blocks"] if calls_ns(block)]
    lanes: dict[int, list[tuple[float, bool]]] = {}
    for block, m in zip(usable, medians, strict=True):
        lanes.setdefault(m.process, []).append(
            ((m.ns / middle - 1) * 100, (block.get("others_cpu_share") or 0) > CROWDED)
        )
    return dict(sorted(lanes.items()))


def lanes(groups: Mapping[int, Sequence[tuple[float, bool]]], axis: Axis, unit: str = " %") -> list[Lane]:
    """Processes side by side, each a line of points in the order in which they were taken; y by `axis`, up is more."""
    total = sum(len(points) + 1 for points in groups.values()) or 1
    at, found = 0.5, []
    for process, points in groups.items():
        dots = []
        left = 100 * at / total
        for value, crowded in points:
            dots.append(Dot(100 * (at + 0.5) / total, 100 * (1 - axis.share(value)), crowded, f"{value:+.1f}{unit}"))
            at += 1
        line = "M" + "L".join(f"{dot.x * 10:.1f} {dot.y:.2f}" for dot in dots)
        right = 100 * at / total
        at += 1
        found.append(Lane(f"process {process}", left, right, line, tuple(dots)))
    return found


def canary_percent(canary: Sequence[Mapping[str, Any]]) -> dict[int, list[tuple[float, bool]]]:
    """The canary's times by process, in percent above the fastest of all: 50 % is where a report becomes doubtful."""
    timed = [c for c in canary if isinstance(c.get("ns"), int | float) and c["ns"] > 0]
    if not timed:
        return {}
    least = min(c["ns"] for c in timed)
    groups: dict[int, list[tuple[float, bool]]] = {}
    for c in timed:
        groups.setdefault(int(c.get("process") or 0), []).append(((c["ns"] / least - 1) * 100, False))
    return dict(sorted(groups.items()))
