"""The page of one search: one HTML file with a picture of what was tried, that needs no network and runs no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.charts import Axis, nice_axis
from device_agents.farm.figures import show_bytes, show_count, show_metric, show_ms, show_ratio
from device_agents.farm.page import readable_json, template
from device_agents.farm.paired import Ratio
from edgewright.files import write_atomically


@dataclass(frozen=True)
class Point:
    """One candidate in percent of the picture. tone: shipped, kept or rejected, as the page's colours are named."""

    x: float
    y: float
    tone: str
    title: str
    label: str = ""


@dataclass(frozen=True)
class Scatter:
    """Metric on validation (up is better) over latency; `front` is the SVG path through the front's points."""

    across: Axis
    up: Axis
    points: tuple[Point, ...]
    front: str
    floor: float | None


def write(path: Path, outcome: Mapping[str, Any]) -> None:
    """Writes the page of a search (edgewright-shrink/1), whole or not at all."""
    write_atomically(path, render(outcome).encode("utf-8", "replace"))


def render(outcome: Mapping[str, Any]) -> str:
    """The page as text; everything in it is escaped."""
    return template("search.html.j2").render(
        outcome=outcome, chart=scatter(outcome), rows=_rows(outcome), asked=_asked(outcome), raw=readable_json(outcome)
    )


def scatter(outcome: Mapping[str, Any]) -> Scatter | None:
    """Every candidate that has a time and a metric; None where there is none."""
    front = {one["name"] for one in outcome["front"]}
    base = outcome["base"]
    shown = [one for one in outcome["candidates"] if _time(one) and _value(one) is not None]
    if not shown:
        return None
    times, values = [_time(one) for one in shown], [_value(one) or 0.0 for one in shown]
    floor = None
    if _value(base) is not None:
        floor = (_value(base) or 0.0) - outcome["constraints"]["max_drop"]
    across = nice_axis(0.0, max(times), unit=" ms")
    up = nice_axis(min([*values, *([floor] if floor is not None else [])]), max(values))
    points = []
    for one in shown:
        tone = "shipped" if one["name"] == outcome["chosen"] else "kept" if one["name"] in front else "rejected"
        title = f"{one['name']}: {show_ms(_time(one))} ms, {_value(one):.4f}"
        x, y = 100 * across.share(_time(one)), 100 * (1 - up.share(_value(one) or 0.0))
        points.append(Point(x, y, tone, title, one["name"] if tone == "shipped" else ""))
    best = sorted((point.x, point.y) for point in points if point.tone != "rejected")
    path = "M" + "L".join(f"{x * 10:.1f} {y:.2f}" for x, y in best) if len(best) > 1 else ""
    return Scatter(across, up, tuple(points), path, None if floor is None else 100 * (1 - up.share(floor)))


def _time(one: Mapping[str, Any]) -> float:
    found = one.get("p50_ms")
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else 0.0


def _value(one: Mapping[str, Any]) -> float | None:
    found = one.get("validation")
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _rows(outcome: Mapping[str, Any]) -> list[list[str]]:
    """The table of all candidates, the fastest first; those that failed last."""
    ordered = sorted(outcome["candidates"], key=lambda one: (bool(one["trouble"]), _time(one) or math.inf))
    return [_row(one, outcome) for one in ordered]


def _row(one: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[str]:
    metric, ratio = one["metric"], one["speedup"]
    front = {other["name"] for other in outcome["front"]}
    state = "chosen" if one["name"] == outcome["chosen"] else "on the front" if one["name"] in front else ""
    return [
        one["name"],
        f"{one['precision']}, {one['runtime']}",
        show_bytes(one["bytes"]) if one["bytes"] else "-",
        show_bytes(one["download"]) if one["download"] else "-",
        show_count(one["params"]) if one["params"] is not None else "-",
        show_count(one["macs"]) if one["macs"] is not None else "-",
        "-" if _value(one) is None else f"{_value(one):.4f}",
        show_metric(metric["name"], metric["value"]) if metric else "-",
        show_ms(_time(one)) if _time(one) else "-",
        show_ratio(Ratio(**ratio)) if ratio else "-",
        one["trouble"] or state or one.get("reason") or "",
    ]


def _asked(outcome: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    asked = outcome["constraints"]
    told = [("metric that may be lost", f"{asked['max_drop'] * 100:g} points")]
    told += [("latency", f"{asked['max_ms']:g} ms")] if asked["max_ms"] is not None else []
    told += [("file", f"{asked['max_kb']:g} kB")] if asked["max_kb"] is not None else []
    return [
        *told,
        ("budget", f"{outcome['spent_s']:.0f} of {outcome['budget_s']:.0f} s"),
        ("seed", str(outcome["seed"])),
        ("layers measured by themselves", str(outcome["costs"]["entries"])),
    ]
