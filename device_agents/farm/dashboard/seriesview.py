"""What a series' page says: each metric over all nights, its changes with their cause, and every figure in a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from device_agents.farm.dashboard import units
from device_agents.farm.dashboard.names import report_file, samples_file
from device_agents.farm.dashboard.timeline import timeline
from device_agents.farm.ledger.points import Point, Series
from device_agents.farm.series.judge import METRICS
from device_agents.farm.series.nights import EXACT, nights
from device_agents.farm.series.reason import moved
from device_agents.farm.series.settings import Settings
from device_agents.farm.series.verdict import Change

Json = Mapping[str, Any]

_BLAMED = {
    "model": "the model",
    "runtime": "the runtime",
    "kernel": "the kernel or firmware",
    "agent": "the agent",
    "device": "the device",
    "unknown": "nothing that is known of",
}


def series_view(whole: Series, judged: Series, verdicts: Sequence[Json]) -> dict[str, Any]:
    """All that the template shows. whole: every report, for the table; judged: those of the newest board, for the
    charts; verdicts: of the latter, one a metric, as SeriesVerdict.to_json gives them."""
    by_metric = {one["metric"]: one for one in verdicts}
    points = sorted(whole.points, key=lambda point: point.seq)
    ours = {point.seq for point in judged.points}
    shown = [metric for metric in METRICS if metric in by_metric]
    columns = [metric for metric in METRICS if metric in by_metric or any(metric in one.values for one in points)]
    changed: dict[int, list[str]] = {}
    for metric in shown:
        for change in by_metric[metric]["changes"]:
            changed.setdefault(change["seq"], []).append(f"{metric.replace('_', ' ')}: {moved_text(metric, change)}")
    for point in points:
        if point.seq not in ours:
            changed.setdefault(point.seq, []).append("another board, in no chart")
    names = {point.seq: point.environment.get("metric_name", "") for point in points}
    return {
        "key": whole.key,
        "metrics": [_metric(judged, metric, by_metric[metric]) for metric in shown],
        "columns": [units.TITLES[metric] for metric in columns],
        "rows": [_row(point, columns, names[point.seq], changed.get(point.seq, [])) for point in reversed(points)],
    }


def moved_text(metric: str, change: Json) -> str:
    """`5.1 % slower [4.6 5.7]` of a verdict or a change point; "" where there is no ratio."""
    return moved(metric, ratio_of(change["ratio"])) if change.get("ratio") else ""


def ratio_of(ratio: Json) -> Change:
    """A ratio out of JSON, where None stands for infinity."""
    return Change(*(math.inf if ratio[name] is None else float(ratio[name]) for name in ("value", "low", "high")))


def causes_text(change: Json) -> str:
    """Whom a change is blamed on, the likeliest first: `the model (bundle 7abb > 0f12)`."""
    said = [
        _BLAMED.get(cause["what"], str(cause["what"])) + (f" ({cause['how']})" if cause["how"] else "")
        for cause in change["causes"]
    ]
    return ", or ".join(said)


def _metric(series: Series, metric: str, verdict: Json) -> dict[str, Any]:
    found, skipped = nights(series, metric)
    name = next((n.point.environment["metric_name"] for n in found if "metric_name" in n.point.environment), "")
    places = {night.point.seq: place for place, night in enumerate(found)}
    changes = [change for change in verdict["changes"] if change["seq"] in places]
    chart = None
    if found:
        factor, unit = units.unit(metric, [night.value for night in found], name)
        at = [places[change["seq"]] for change in changes]
        chart = timeline(found, at, factor, unit, Settings(), metric in EXACT)
    newest = units.show(metric, found[-1].value, name) if found else "-"
    return {
        "metric": metric,
        "title": name if metric == "accuracy" and name else units.TITLES[metric],
        "verdict": verdict["verdict"],
        "tone": tone(verdict),
        "reason": verdict["reason"],
        "newest": newest,
        "nights": len(found),
        "chart": chart,
        "said": _said(metric, [night.value for night in found], name, len(changes)),
        "changes": [
            {
                "day": units.moment(found[places[change["seq"]]].point.started),
                "page": report_file(change["report"]),
                "report": change["report"],
                "moved": moved_text(metric, change),
                "worse": change["worse"],
                "causes": causes_text(change),
                "nights": change["nights"],
            }
            for change in changes
        ],
        "skipped": skipped,
    }


def tone(verdict: Json) -> str:
    """How a verdict's chip is coloured; the word in it says the same."""
    if verdict["worse"]:
        return "bad"
    return {"undecided": "amber", "same": "", "faster": "good", "better": "good"}.get(verdict["verdict"], "")


def _said(metric: str, values: Sequence[float], name: str, changes: int) -> str:
    """A chart in words, for those who don't see it."""
    if not values:
        return "no night"
    low, high, last = (units.show(metric, value, name) for value in (min(values), max(values), values[-1]))
    nights = f"{len(values)} night{'' if len(values) == 1 else 's'}"
    return f"{nights} between {low} and {high}, newest {last}, {changes} change{'' if changes == 1 else 's'} of level"


def _row(point: Point, metrics: Sequence[str], name: str, changed: Sequence[str]) -> dict[str, Any]:
    told = point.environment
    return {
        "day": units.moment(point.started),
        "page": report_file(point.report),
        "samples": samples_file(point.report),
        "values": [
            units.show(metric, point.values[metric], name) if metric in point.values else "-" for metric in metrics
        ],
        "bundle": told.get("bundle", "")[:8],
        "ran": " ".join(filter(None, (told.get("runtime_version"), told.get("kernel")))),
        "changed": "; ".join(changed),
    }
