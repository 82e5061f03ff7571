"""The page of debug.quant: one HTML file that needs no network and runs no script, whatever the names in it say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.charts import HEIGHT, WIDTH, Tick
from device_agents.farm.page import template
from pipeline.quantization.debug import Departure, worst_first

EXACT_DB = 200.0
"""Beyond what float32 itself can tell apart: nothing was rounded at all."""


@dataclass(frozen=True)
class Row:
    """One tensor as text, and as paths in a box of WIDTH by HEIGHT; span: where INT8's range lies in it, or None."""

    name: str
    sqnr: str
    worst: str
    clipped: str
    used: str
    in_float: str
    quantised: str
    span: tuple[float, float] | None
    ticks: tuple[Tick, ...]


def render(told: Mapping[str, Any], found: Sequence[Departure]) -> str:
    """The page as text. told: model, target, variant, precision, runtime, format, samples and output, to be shown."""
    rows = [row(one) for one in found]
    worst = [row(one) for one in worst_first(found)]
    return template("quant.html.j2", Path(__file__).parent / "templates").render(told, rows=rows, worst=worst)


def row(one: Departure) -> Row:
    """A tensor's figures as the table and the page say them."""
    return Row(
        one.name,
        "exact" if one.sqnr_db > EXACT_DB else f"{one.sqnr_db:.1f}",
        f"{one.worst:.2g}",
        _percent(one.clipped, 2),
        _percent(one.used, 0),
        outline(one.in_float),
        outline(one.quantised),
        _span(one),
        (Tick(0.0, f"{one.least:.3g}"), Tick(100.0, f"{one.largest:.3g}")),
    )


def outline(counts: Sequence[int]) -> str:
    """A histogram's outline as an SVG path, its highest bin nearly as high as the box; square roots of the counts."""
    highest, wide = max(counts) or 1, WIDTH / max(1, len(counts))
    path = [f"M0 {HEIGHT:.0f}"]
    for place, count in enumerate(counts):
        if count or (place and counts[place - 1]):
            path.append(f"H{place * wide:.1f}V{HEIGHT * (1 - 0.94 * math.sqrt(count / highest)):.1f}")
    path.append(f"H{WIDTH:.0f}V{HEIGHT:.0f}Z")
    return "".join(path)


def _span(one: Departure) -> tuple[float, float] | None:
    if one.low is None or one.high is None:
        return None
    wide = (one.largest - one.least) or 1.0
    left, right = ((min(max(end, one.least), one.largest) - one.least) / wide for end in (one.low, one.high))
    return WIDTH * left, WIDTH * right


def _percent(share: float | None, places: int) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.{places}f} %" if share else "0 %"
