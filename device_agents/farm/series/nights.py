"""What a series says of one metric, night by night: log figures in the ledger's order, each with its own spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, stdev

from device_agents.farm.ledger.points import Point, Series

EXACT = ("size", "accuracy")
"""Metrics without noise: any change is one."""

TIMES = ("latency", "load_time")
"""Metrics that the canary, a time itself, can be set against."""

_MEDIAN = math.sqrt(math.pi / 2)
"""How much wider the standard error of a median is than that of a mean, for normal values."""


@dataclass(frozen=True)
class Figure:
    """A log figure and its standard error by the blocks of its own night, 0.0 where that isn't known."""

    log: float
    spread: float = 0.0


@dataclass(frozen=True)
class Night:
    """One point of a series as one metric sees it.

    value: the figure in the metric's base unit. figure: its log; of an exact metric nothing reads it.
    canary: the canary model's; agent_canary: the agent's own; None where it didn't run or the metric is no time.
    """

    point: Point
    value: float
    figure: Figure
    canary: Figure | None = None
    agent_canary: Figure | None = None


def nights(series: Series, metric: str) -> tuple[list[Night], list[str]]:
    """The nights of one metric, oldest first by `seq`, and what was skipped and why, one sentence a point.

    Skipped is what is no number or infinite, or has no log (accuracy may be 0), and an accuracy over other samples than
    the newest one's. Points without the metric are no nights of it, and are not mentioned.
    """
    kept, skipped = [], []
    points = sorted(series.points, key=lambda point: point.seq)
    samples = next((_samples(point) for point in reversed(points) if metric in point.values), None)
    for point in points:
        given = point.values.get(metric)
        figure = _middle(point.blocks) if metric == "latency" else None
        value = math.exp(min(figure.log, 700.0)) if figure else given
        if value is None:
            continue
        if not _usable(value, zero=metric == "accuracy"):
            skipped.append(f"{point.report}: {metric} is {value!r}, which can't be compared")
            continue
        if metric == "accuracy" and _samples(point) != samples:
            skipped.append(f"{point.report}: {metric} was taken over other samples than the newest")
            continue
        figure = figure or Figure(math.log(value) if value > 0 else 0.0)
        beside = point.canary_blocks if metric in TIMES else ()
        alone = (point.canary_ns,) if metric in TIMES and point.canary_ns is not None else ()
        kept.append(Night(point, value, figure, _middle(beside), _middle(alone)))
    return kept, skipped


def _samples(point: Point) -> tuple[str | None, str | None]:
    """What an accuracy was taken over, as far as it is known: the metric and the number of samples."""
    return point.environment.get("metric_name"), point.environment.get("metric_n")


def _middle(blocks: Sequence[float]) -> Figure | None:
    """Median of the log block medians; blocks that can't be a time are left out, None where none is left."""
    logs = [math.log(block) for block in blocks if _usable(block)]
    if not logs:
        return None
    return Figure(median(logs), _MEDIAN * stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0)


def _usable(value: object, zero: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value >= 0 if zero else value > 0
