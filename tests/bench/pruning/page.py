"""The findings as one HTML file that needs no network and runs no script; looks like the report of a deploy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from device_agents.farm import charts
from device_agents.farm.page import readable_json, template
from tests.bench.pruning.run import Bench
from tests.bench.pruning.statements import Plot
from tests.bench.pruning.table import described

OWN = Path(__file__).parent / "templates"
CHIP = {"reproduced": "good", "refuted": "bad", "undecided": "amber"}
TONE = {"ours": "shipped", "other": "kept", "control": "rejected"}


def render(bench: Bench) -> str:
    """The page as text; everything reaches it through an autoescaping template."""
    return template("bench.html.j2", OWN).render(
        bench=bench,
        described=described(bench),
        counts=Counter(one.verdict for finding in bench.findings for one in finding.statements),
        chip=CHIP,
        problems=list(bench.report.get("problems") or []),
        device=bench.report.get("facts") or {},
        plots={finding.name: [drawn(plot) for plot in finding.plots if plot.rows] for finding in bench.findings},
        raw=readable_json({**bench.to_json(), "report": _without_samples(bench.report)}),
    )


def drawn(plot: Plot) -> dict[str, Any]:
    """A plot as geometry: an axis, and for each dot its place and its span in units of 1000 across."""
    factor = 100.0 if plot.unit == "%" else 1.0
    dots = [dot for _, some in plot.rows for dot in some]
    low, high = min(dot.low for dot in dots) * factor, max(dot.high for dot in dots) * factor
    if plot.unit == "x":
        low, high = 0.0, max(1.2, high)
    axis = charts.nice_axis(low, high, unit=" %" if plot.unit == "%" else "x")
    lines = []
    for name, some in plot.rows:
        for place, dot in enumerate(some):
            at, least, most = (1000 * axis.share(value * factor) for value in (dot.value, dot.low, dot.high))
            shown = name if place == 0 else ""
            lines.append(
                {
                    "name": shown,
                    "said": name,
                    "text": dot.text,
                    "tone": TONE[dot.tone],
                    "at": at,
                    "low": least,
                    "high": most,
                }
            )
    one = 1000 * axis.share(1.0) if plot.unit == "x" else None
    return {"title": plot.title, "ticks": axis.ticks, "one": one, "lines": lines}


def _without_samples(report: dict[str, Any]) -> dict[str, Any]:
    """The report without its thousands of raw samples: those are in bench.json."""
    results = [{key: value for key, value in one.items() if key != "blocks"} for one in report.get("results", [])]
    return {**report, "results": results} if report else {}
