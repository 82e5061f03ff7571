"""The charts of the page with their words: what `charts` draws, named, ordered and labelled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from device_agents.farm import charts
from device_agents.farm.figures import show_ms
from device_agents.farm.paired import Latency, latency

Json = Mapping[str, Any]


def stairs(variants: Sequence[Json]) -> list[dict[str, Any]]:
    """Two stairs: file size and median time, variant by variant."""
    found = []
    for title, key, text, unit in (("File size", "bytes", "size", ""), ("Median time, ms", "p50_ms", "p50", " ms")):
        treads = charts.stair([v[key] for v in variants])
        steps = [
            {"parts": _parts(v["name"]), "tone": v["tone"], "label": v[text], "tread": tread}
            for v, tread in zip(variants, treads, strict=True)
        ]
        said = "; ".join(f"{v['name']} {v[text]}{unit}" for v in variants if v[text])
        found.append({"title": title, "steps": steps, "said": said})
    return found


def _parts(name: str) -> list[str]:
    """A name in the pieces between which a narrow column may break it."""
    return re.split(r"(?<=[-+_/.])|(?=@)", name)


def forest(variants: Sequence[Json]) -> dict[str, Any] | None:
    """Speed-ups as points with their intervals on one axis, 1x marked."""
    rows = [v for v in variants if v["ratio"]]
    if not rows:
        return None
    axis = charts.nice_axis(0.0, max(1.2, max(v["ratio"].high for v in rows)), unit="x")
    return {
        "ticks": axis.ticks,
        "one": 100 * axis.share(1.0),
        "rows": [
            {
                "name": v["name"],
                "tone": v["tone"],
                "at": 100 * axis.share(v["ratio"].value),
                "low": 100 * axis.share(v["ratio"].low),
                "high": 100 * axis.share(v["ratio"].high),
                "text": f"{v['ratio'].value:.2f}x",
                "interval": f"{v['ratio'].low:.2f} to {v['ratio'].high:.2f}",
            }
            for v in rows
        ],
    }


def times(variants: Sequence[Json], results: Mapping[str, Json]) -> dict[str, Any] | None:
    """The distribution of every variant's raw samples on one axis of milliseconds."""
    samples = {v["name"]: charts.times_ms(results.get(v["name"], {})) for v in variants}
    measured = [v for v in variants if samples[v["name"]]]
    if not measured:
        return None
    axis = charts.time_axis([samples[v["name"]] for v in measured])
    rows = []
    for v in measured:
        found: Latency | None = latency(results[v["name"]])
        assert found is not None  # it has samples, or it were not in the list
        shape = charts.histogram(samples[v["name"]], axis)
        marks = {"p50": show_ms(found.p50_ms), "p90": show_ms(found.p90_ms), "p99": show_ms(found.p99_ms)}
        rows.append({"name": v["name"], "tone": v["tone"], "shape": shape, "n": f"{found.n:,}", **marks})
    return {"ticks": axis.ticks, "rows": rows}


def drift(variants: Sequence[Json], results: Mapping[str, Json]) -> dict[str, Any] | None:
    """Block medians of every variant, process by process, on one axis of per cent around each variant's own median."""
    groups = {v["name"]: charts.drift_percent(results.get(v["name"], {})) for v in variants}
    every = [value for lanes in groups.values() for points in lanes.values() for value, _ in points]
    if not every:
        return None
    axis = charts.nice_axis(min(-1.0, *every), max(1.0, *every), about=4, unit=" %")
    rows = [
        {"name": v["name"], "tone": v["tone"], "lanes": charts.lanes(groups[v["name"]], axis)}
        for v in variants
        if groups[v["name"]]
    ]
    return {"ticks": _upwards(axis), "zero": 100 * (1 - axis.share(0.0)), "rows": rows}


def canary(canary: Sequence[Json]) -> dict[str, Any] | None:
    groups = charts.canary_percent(canary)
    if not groups:
        return None
    worst = max(value for points in groups.values() for value, _ in points)
    axis = charts.nice_axis(0.0, max(5.0, worst), about=3, unit=" %")
    lanes = charts.lanes(groups, axis)
    return {
        "ticks": _upwards(axis),
        "zero": 100.0,
        "rows": [{"name": "canary", "tone": "kept", "lanes": lanes}],
        "worst": worst,
    }


def _upwards(axis: charts.Axis) -> list[charts.Tick]:
    return [charts.Tick(100 - tick.at, tick.label) for tick in axis.ticks]
