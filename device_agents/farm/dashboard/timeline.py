"""Geometry of figures over nights: SVG paths in the box of `charts`, one place a night, whatever the clocks said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from device_agents.farm.charts import HEIGHT, WIDTH, Axis, Tick, nice_axis
from device_agents.farm.series.nights import Night
from device_agents.farm.series.noise import fence
from device_agents.farm.series.settings import Settings
from device_agents.farm.student import quantile

MOST = 180
"""Points of a line beyond which it is thinned: a phone has no more columns."""

_SPARK, _SPARK_HEIGHT, _SPARK_MOST = 100.0, 20.0, 60
_DATES = 3
"""As many as a phone has room for."""


@dataclass(frozen=True)
class Spark:
    """A small line of the last nights in a box of 100 by 20; changes: x of the nights with a new level."""

    line: str
    changes: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """A stretch of the chart, left to right and top to bottom, in percent."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Timeline:
    """A metric over all nights. axis: ticks from above; dates: ticks below; line, band: paths of the figure and of its
    95 % interval; fence: of the newest level; changes: the percent at which each new level begins."""

    axis: Axis
    dates: tuple[Tick, ...]
    line: str
    band: str
    fence: Band | None
    changes: tuple[float, ...]


def thin(values: Sequence[float], most: int, keep: Sequence[int] = ()) -> list[int]:
    """Places of about `most` values that leave a line its outline: the lowest and the highest of each stretch, the
    ends, and those to `keep`; all of them where there are no more."""
    count = len(values)
    if count <= most:
        return list(range(count))
    wide = math.ceil(2 * count / most)
    places = {0, count - 1, *keep}
    for first in range(0, count, wide):
        stretch = range(first, min(first + wide, count))
        places |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    return sorted(places)


def spark(values: Sequence[float], changes: Sequence[int]) -> Spark:
    """The line of a series in a table. changes: places in `values`."""
    axis = Axis(min(values), max(values), ())
    places = thin(values, _SPARK_MOST, changes)
    wide = _SPARK / len(values)
    points = [
        f"{(place + 0.5) * wide:.1f} {(1 - axis.share(values[place])) * (_SPARK_HEIGHT - 2) + 1:.1f}"
        for place in places
    ]
    # A single night is a dash, or there would be nothing to see.
    line = "M" + "L".join(points) if len(points) > 1 else f"M{points[0]}h4"
    return Spark(line, tuple((place + 0.5) * wide for place in changes))


def timeline(
    nights: Sequence[Night], changes: Sequence[int], factor: float, unit: str, settings: Settings, exact: bool
) -> Timeline:
    """The chart of one metric. changes: places at which a level begins; factor: from base units to the axis'; exact: a
    metric without noise, which has no fence. There must be a night."""
    values = [night.value * factor for night in nights]
    reaches = [_reach(night) for night in nights]
    lows = [value * math.exp(-reach) for value, reach in zip(values, reaches, strict=True)]
    highs = [value * math.exp(reach) for value, reach in zip(values, reaches, strict=True)]
    fenced = None if exact else fence_around(nights, changes[-1] if changes else 0, settings)
    edges = [edge * factor for edge in fenced] if fenced else []
    axis = nice_axis(min(*lows, *values, *edges), max(*highs, *values, *edges), about=4, unit=unit)
    wide = WIDTH / len(nights)
    places = thin(values, MOST, changes)

    def path(figures: Sequence[float], at: Sequence[int]) -> str:
        return "L".join(f"{(place + 0.5) * wide:.0f} {_y(axis, figures[place]):.1f}" for place in at)

    band = f"M{path(highs, places)}L{path(lows, places[::-1])}Z" if any(reaches) else ""
    start = 100 * (changes[-1] if changes else 0) / len(nights)
    return Timeline(
        axis=Axis(axis.low, axis.high, tuple(Tick(100 - tick.at, tick.label) for tick in axis.ticks)),
        dates=_dates(nights),
        line=f"M{path(values, places)}" if len(places) > 1 else f"M{path(values, places)}h4",
        band=band,
        fence=Band(start, 100.0, _y(axis, edges[1]), _y(axis, edges[0])) if edges else None,
        changes=tuple(100 * place / len(nights) for place in changes),
    )


def fence_around(nights: Sequence[Night], start: int, settings: Settings) -> tuple[float, float] | None:
    """Where a night would be far out of the newest level, which begins at `start`, in base units: the median of its
    last nights less and more the fence of its own night-to-night changes (series/noise.py). None for under three."""
    level = nights[start:]
    if len(level) < 3:
        return None
    logs = [night.figure.log for night in level]
    changes = [after - before for before, after in pairwise(logs)][-settings.history :]
    width = fence(changes, level[-1].figure.spread, settings)
    centre = median(logs[-settings.before :])
    return _exp(centre - width), _exp(centre + width)


def _reach(night: Night) -> float:
    """Half the 95 % interval of a night's log figure by its own blocks; 0.0 where that isn't known."""
    blocks = len(night.point.blocks)
    if night.figure.spread <= 0 or blocks < 2:
        return 0.0
    # Two or three blocks know so little of themselves that their interval would be all of the chart.
    return min(night.figure.spread * quantile(0.95, float(blocks - 1)), 1.0)


def _dates(nights: Sequence[Night]) -> tuple[Tick, ...]:
    """A few days along the chart, evenly spaced; only as good as the clocks that told them."""
    count = len(nights)
    places = sorted({round(i * (count - 1) / max(1, _DATES - 1)) for i in range(_DATES)})
    return tuple(Tick(100 * (place + 0.5) / count, nights[place].point.started[:10]) for place in places)


def _y(axis: Axis, value: float) -> float:
    """Percent from above."""
    return HEIGHT * (1 - axis.share(value))


def _exp(log: float) -> float:
    return math.exp(max(-700.0, min(700.0, log)))
