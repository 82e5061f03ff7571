"""Values between the points of a grid: multilinear inside it, and held to what was measured beyond it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import product

Point = tuple[int, ...]

_NEIGHBOURS = 4


def interpolate(points: Mapping[Point, float], at: Point) -> float:
    """The value at a point of positive coordinates. points: measured ones (one at least), all of the same dimension.

    Within a cell whose corners are all there: multilinear, as a time that is a + b * inputs * outputs is. Beyond the
    grid the last cell goes on, but not under half of the least value. Where a corner is missing: the nearest points,
    weighted by their inverse squared distance (Shepard 1968) in logarithms.
    """
    if at in points:
        return points[at]
    cell = []
    for place, value in enumerate(at):
        known = sorted({point[place] for point in points})
        upper = min(max(bisect_right(known, value), 1), len(known) - 1)
        low, high = (known[upper - 1], known[upper]) if len(known) > 1 else (known[0], known[0])
        share = (value - low) / (high - low) if high > low else 0.0
        cell.append(
            ((low, 1 - share), (high, share))
            if high > low and share not in (0, 1)
            else ((low if share < 1 else high, 1.0),)
        )
    corners = [(tuple(size for size, _ in one), math.prod(weight for _, weight in one)) for one in product(*cell)]
    if any(corner not in points for corner, _ in corners):
        return _shepard(points, at)
    return max(sum(points[corner] * weight for corner, weight in corners), min(points.values()) / 2)


def _shepard(points: Mapping[Point, float], at: Point) -> float:
    def distance(point: Point) -> float:
        return sum(math.log(a / b) ** 2 for a, b in zip(point, at, strict=True))

    near = sorted(points, key=lambda point: (distance(point), point))[:_NEIGHBOURS]
    weights = [1 / max(distance(point), 1e-9) for point in near]
    total = sum(weight * math.log(points[point]) for weight, point in zip(weights, near, strict=True))
    return math.exp(total / sum(weights))
