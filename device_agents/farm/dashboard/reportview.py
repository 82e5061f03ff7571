"""What a report's page says: the deploy page's own view of it, every block as a strip, of a comparison the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_agents.farm import pageview
from device_agents.farm.charts import nice_axis
from device_agents.farm.dashboard import units
from device_agents.farm.dashboard.strips import strips
from device_agents.farm.paired import latency
from device_agents.farm.sequential import Looker
from device_agents.farm.versus import Line, compare_results, overall

Json = Mapping[str, Any]

_PAIRS = ("compare", "bisect")
"""Purposes of reports that hold two bundles against each other."""
_METRIC_OF = {"load time": "load_time"}


def report_view(report: Json) -> dict[str, Any]:
    """All that the template shows of edgewright-report/1.

    Raises TypeError, ValueError, LookupError, AttributeError or ArithmeticError where a report has a shape that no
    agent gives it.
    """
    results = report.get("results") or []
    shown = pageview.view(_outcome(report), report)
    return {
        **{name: shown[name] for name in ("model", "target", "device", "stand_in", "emulated", "valid", "problems")},
        **{name: shown[name] for name in ("warnings", "started", "report_id", "variants", "metric_name", "times")},
        **{name: shown[name] for name in ("canary", "state", "facts", "software", "job")},
        "purpose": str(report.get("purpose") or "deploy"),
        "commit": str(report.get("commit") or "not known"),
        "errors": [(str(one.get("name")), str(one["error"])) for one in results if one.get("error")],
        "strips": [found for one in results if (found := strips(one)) is not None],
        "versus": versus(report),
    }


def versus(report: Json) -> dict[str, Any] | None:
    """A comparison's lines and verdict, as `./inv compare` gave them: the same samples, interval and rule. None of a
    report that is none."""
    results = report.get("results") or []
    if report.get("purpose") not in _PAIRS or len(results) != 2:
        return None
    looker = Looker()
    looker.look(results)
    sizes = [_asked(report, one["name"]).get("bundle", {}).get("bytes") for one in results]
    known = all(type(size) is int for size in sizes)
    lines = compare_results(
        results[0], results[1], looker, (sizes[0], sizes[1]) if known else (0, 0), report.get("idle_mw")
    )
    shown = [line for line in lines if known or line.metric != "size"]
    name = next((one["accuracy"]["name"] for one in results if one.get("accuracy")), "accuracy")
    return {
        "verdict": overall(shown) if report.get("valid") else None,
        "worse": [line.metric for line in shown if line.verdict == "worse"],
        "a": str(results[0].get("bundle") or ""),
        "b": str(results[1].get("bundle") or ""),
        "lines": [_line(line, str(name)) for line in shown],
        "forest": _forest(shown),
        "confidence": f"{looker.rule.confidence * 100:.1f} %",
    }


def _outcome(report: Json) -> dict[str, Any]:
    """A report as the outcome of a deploy that judged nothing, so that its page can be made of it."""
    device = report.get("device") or {}
    return {
        "model": str(report.get("model")),
        "target": str(report.get("target")),
        "device": str(device.get("name")),
        "stand_in": bool(device.get("stand_in")),
        "emulated": bool(device.get("emulated")),
        "valid": bool(report.get("valid")),
        "problems": report.get("problems"),
        "warnings": report.get("warnings"),
        "shipped": None,
        "variants": [_variant(one, _asked(report, one["name"])) for one in report.get("results") or []],
    }


def _variant(result: Json, asked: Json) -> dict[str, Any]:
    times, accuracy = latency(result), result.get("accuracy") or {}
    known = accuracy.get("value") is not None
    return {
        "name": result["name"],
        "runtime": asked.get("runtime"),
        "format": asked.get("format"),
        "precision": asked.get("precision"),
        "bytes": (asked.get("bundle") or {}).get("bytes"),
        "latency_ms": times.to_json() if times else None,
        "metric": {"name": accuracy["name"], "value": accuracy["value"], "on_device": True} if known else None,
        "energy_mj": result.get("energy_mj"),
        "second_opinion": result.get("second_opinion"),
    }


def _asked(report: Json, name: Any) -> Json:
    """What the job asked for of a variant; empty where it doesn't say."""
    variants = (report.get("job") or {}).get("variants") or []
    return next((one for one in variants if one.get("name") == name), {})


def _line(line: Line, name: str) -> dict[str, str]:
    metric = _METRIC_OF.get(line.metric, line.metric)
    a, b = ("-" if value is None else units.show(metric, value, name) for value in (line.a, line.b))
    return {
        "metric": line.metric,
        "a": a,
        "b": b,
        "change": _change(line),
        "verdict": line.word if line.verdict is not None else "not judged",
        "why": line.why,
        "tone": {"worse": "bad", "better": "good"}.get(line.verdict or "", ""),
    }


def _change(line: Line) -> str:
    """B beside A: `+2.1 % [+1.6 +2.7]`; an accuracy in points."""
    if line.change is None:
        return "-"
    if line.metric == "accuracy":
        return f"{line.change * 100:+.2f} points" if line.change else "equal"
    if not line.change and not line.low and not line.high:
        return "equal"
    ends = "" if line.low is None or line.high is None else f" [{line.low * 100:+.1f} {line.high * 100:+.1f}]"
    return f"{line.change * 100:+.1f} %{ends}"


def _forest(lines: list[Line]) -> dict[str, Any] | None:
    """The changes that have an interval as points and bars on one axis of per cent; no change is marked."""
    rows = [line for line in lines if line.change is not None and line.low is not None and line.high is not None]
    if not rows:
        return None
    edges = [100 * edge for line in rows for edge in (line.low or 0.0, line.high or 0.0)]
    axis = nice_axis(min(-5.0, *edges), max(5.0, *edges), unit=" %")
    return {
        "ticks": axis.ticks,
        "zero": 100 * axis.share(0.0),
        "rows": [
            {
                "name": line.metric,
                "text": _change(line),
                "at": 100 * axis.share(100 * (line.change or 0.0)),
                "low": 100 * axis.share(100 * (line.low or 0.0)),
                "high": 100 * axis.share(100 * (line.high or 0.0)),
            }
            for line in rows
        ],
    }
