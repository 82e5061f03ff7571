"""What the page says, as plain values: texts, figures and chart geometry out of an outcome and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from device_agents.farm import chartview
from device_agents.farm.figures import a_or_an, show_bytes, show_count, show_drop, show_metric, show_ms, show_seconds
from device_agents.farm.paired import Ratio, latency
from device_agents.farm.readings import shown_facts, shown_state, shown_value

Json = Mapping[str, Any]

_REJECTED = ("does not pay", "below the floor", "over the limit", "failed")


def view(outcome: Json, report: Json) -> dict[str, Any]:
    """All that the template shows. Parts that the report lacks come out empty, never as an error."""
    results = {result["name"]: result for result in report.get("results") or []}
    shipped = outcome.get("shipped")
    variants = [
        _variant(v, results.get(v["name"], {}), shipped, is_base=not i) for i, v in enumerate(outcome["variants"])
    ]
    device = report.get("device") or {}
    return {
        "model": outcome["model"],
        "target": outcome["target"],
        "a_target": a_or_an(str(outcome["target"])),
        "device": outcome["device"],
        "stand_in": bool(outcome.get("stand_in")),
        "emulated": bool(device.get("emulated")),
        "valid": bool(outcome.get("valid")),
        "problems": list(outcome.get("problems") or []),
        "warnings": list(outcome.get("warnings") or []),
        "started": _moment(report.get("started")),
        "report_id": report.get("id") or "",
        "variants": variants,
        "metric_name": next((v["metric"]["name"] for v in outcome["variants"] if v.get("metric")), "metric"),
        "headline": headline(outcome),
        "floor": _floor(outcome),
        "limits": _pairs(outcome.get("limits") or {}),
        "stairs": chartview.stairs(variants),
        "forest": chartview.forest(variants),
        "times": chartview.times(variants, results),
        "drift": chartview.drift(variants, results),
        "canary": chartview.canary(report.get("canary") or []),
        "state": shown_state(report.get("state_before") or {}, report.get("state_after") or {}),
        "facts": shown_facts(report.get("facts") or {}),
        "software": _software(report),
        "job": _pairs(_without(report.get("job") or {}, ("variants", "model", "target", "evaluation", "canary")))
        + steadiness(report),
        "histories": _histories(outcome),
        "provenance": _provenance(outcome),
        "bundle": outcome.get("bundle"),
    }


def steadiness(report: Json) -> list[tuple[str, str]]:
    """(label, value) of what the protocol did against the device's unsteadiness, and of the model that ran along."""
    results = report.get("results") or []
    kept = sum(len(one.get("blocks") or []) for one in results)
    again = sum(len(one.get("redone") or []) for one in results)
    found = [("blocks done again", f"{again}, beside {kept} that count")] if kept else []
    canary = latency(report["canary_model"]) if report.get("canary_model") else None
    return found + ([("canary model, p50", f"{show_ms(canary.p50_ms)} ms")] if canary else [])


def headline(outcome: Json) -> dict[str, Any]:
    """What is shipped and, against the base, three figures: time, size and the metric."""
    base = outcome["variants"][0] if outcome["variants"] else None
    shipped = next((v for v in outcome["variants"] if v["name"] == outcome.get("shipped")), None)
    if outcome.get("emulated"):
        same = sum(bool((v.get("parity") or {}).get("same")) for v in outcome["variants"])
        said = f"{same} of {len(outcome['variants'])} variants give the answers there that they give here."
        return {"title": None, "reason": f"The device is emulated: nothing is timed. {said}", "figures": []}
    if shipped is None or base is None:
        return {"title": None, "reason": "No variant holds the floor and the limits.", "figures": []}
    figures = []
    if shipped is not base:
        if ratio := shipped.get("speedup"):
            word = "faster" if ratio["value"] >= 1 else "of the speed"
            before, after = base.get("latency_ms"), shipped.get("latency_ms")
            moved = f"p50 {show_ms(before['p50'])} to {show_ms(after['p50'])} ms" if before and after else ""
            within = f"95 % interval {ratio['low']:.2f} to {ratio['high']:.2f}"
            figures.append((f"{_times_text(ratio['value'])}", word, within, moved))
        # Zeros leave the file as large as it was: what they make smaller is the download.
        key = "download" if shipped.get("sparsity") else "bytes"
        if base.get(key) and shipped.get(key):
            share = base[key] / shipped[key]
            word = ("smaller" if share >= 1 else "of the size") + (" download" if key == "download" else "")
            moved = f"{show_bytes(base[key])} to {show_bytes(shipped[key])}"
            figures.append((_times_text(share if share >= 1 else 1 / share), word, "", moved))
        if base.get("metric") and shipped.get("metric"):
            name, was, now = base["metric"]["name"], base["metric"]["value"], shipped["metric"]["value"]
            number, _, unit = show_drop(name, abs(was - now)).partition(" ")
            word = " ".join(filter(None, (unit, f"{name} {'lost' if now <= was else 'gained'}")))
            figures.append((number, word, _floor(outcome), f"{show_metric(name, was)} to {show_metric(name, now)}"))
    return {"title": shipped["name"], "reason": shipped.get("reason") or "", "figures": figures, "base": base["name"]}


def _times_text(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:.1f}x"


def _floor(outcome: Json) -> str:
    floor = outcome.get("floor") or {}
    return f"floor {show_metric(floor['name'], floor['value'])}" if floor.get("value") is not None else ""


def _variant(v: Json, result: Json, shipped: str | None, is_base: bool) -> dict[str, Any]:
    metric, times, ratio = v.get("metric"), v.get("latency_ms"), v.get("speedup")
    verdict = v.get("verdict") or ""
    loads = result.get("loads") or []
    accuracy = result.get("accuracy") or {}
    return {
        "name": v["name"],
        "made": " ".join(filter(None, (v.get("runtime"), v.get("format"), v.get("precision")))),
        "is_shipped": v["name"] == shipped,
        "is_base": is_base,
        "rejected": verdict in _REJECTED,
        "tone": "shipped" if v["name"] == shipped else "rejected" if verdict in _REJECTED else "kept",
        "bytes": v.get("bytes") or None,
        "size": show_bytes(v["bytes"]) if v.get("bytes") else None,
        "download": show_bytes(v["download"]) if v.get("download") else None,
        "zeros": f"{v['sparsity']['share'] * 100:.0f} % zeros" if v.get("sparsity") else None,
        "params": show_count(v["params"]) if v.get("params") is not None else None,
        "macs": show_count(v["macs"]) if v.get("macs") is not None else None,
        "metric": show_metric(metric["name"], metric["value"]) if metric else None,
        "on_device": bool(metric and metric.get("on_device")),
        "p50_ms": times["p50"] if times else None,
        "p50": show_ms(times["p50"]) if times else None,
        "p90": show_ms(times["p90"]) if times else None,
        "p99": show_ms(times["p99"]) if times else None,
        "n": f"{times['n']:,}" if times else None,
        "ratio": Ratio(ratio["value"], ratio["low"], ratio["high"]) if ratio else None,
        "verdict": verdict,
        "reason": v.get("reason") or "",
        "instead": v.get("instead") or "",
        "load": show_ms(median(load["load_ns"] for load in loads) / 1e6) if loads else None,
        "first": show_ms(median(load["first_ns"] for load in loads) / 1e6) if loads else None,
        "peak": show_bytes(result["peak_bytes"]) if result.get("peak_bytes") is not None else None,
        "providers": ", ".join(map(str, result.get("providers") or [])),
        "energy": f"{v['energy_mj']:.3g} mJ" if v.get("energy_mj") is not None else None,
        "answers": _answers(v.get("parity")),
        "second": _second(v.get("second_opinion")),
        "outputs": accuracy.get("outputs_sha256") or "",
        "evaluated": f"{accuracy['n']:,}" if accuracy.get("n") else None,
        "digest": result.get("bundle") or "",
    }


def _answers(parity: Json | None) -> str | None:
    """The device's answers beside this machine's, as the pipeline has compared them."""
    if not parity:
        return None
    if not parity["same"]:
        return "other answers"
    return "the same to the bit" if parity["worst"] == 0 else "the same"


def _second(found: Json | None) -> str | None:
    """What another tool measured of the same file: trtexec's p50."""
    if not found or found.get("p50_ms") is None:
        return None
    return f"{found['tool']}: {show_ms(found['p50_ms'])} ms"


def _software(report: Json) -> list[tuple[str, str]]:
    agent = report.get("agent") or {}
    rows = []
    for runtime in report.get("runtimes") or [report.get("runtime") or {}]:
        rows.append(("Runtime", " ".join(str(runtime[key]) for key in ("name", "version") if runtime.get(key))))
        rows.append(("numpy", str(runtime.get("numpy") or "")))
        rows.append(("Providers", shown_value("providers", runtime.get("providers") or [])))
    rows.append(("Agent", str(agent.get("version") or "")))
    rows.append(("Agent's sha256", str(agent.get("sha256") or "")))
    return [(label, text) for label, text in rows if text]


_UNITS = {"s": "s", "seconds": "s", "ms": "ms", "mb": "MB", "kb": "kB"}


def _pairs(values: Json) -> list[tuple[str, str]]:
    """Settings with their unit moved from the key to the value: `time_limit_s = 600` reads `time limit  600 s`."""
    rows = []
    for key, value in values.items():
        words = str(key).split("_")
        unit = _UNITS.get(words[-1]) if len(words) > 1 else None
        label = " ".join(words[:-1] if unit else words)
        if value is not None:
            rows.append((label, f"{shown_value(key, value)} {unit or ''}".rstrip()))
    return rows


def _without(values: Json, keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _histories(outcome: Json) -> list[dict[str, Any]]:
    """The steps of every variant in the order in which the plan lays them out."""
    steps: dict[str, list[dict[str, Any]]] = {v["name"]: [] for v in outcome["variants"]}
    for step in outcome.get("steps") or []:
        took = "cached" if step.get("cached") else show_seconds(float(step.get("seconds") or 0.0))
        row = {
            "label": step.get("label") or step.get("step") or "",
            "took": took,
            "summary": step.get("summary") or "",
            "fingerprint": step.get("fingerprint") or "",
        }
        steps.setdefault(step.get("variant") or "", []).append(row)
    return [
        {"name": name, "steps": rows, "is_shipped": name == outcome.get("shipped")}
        for name, rows in steps.items()
        if rows
    ]


def _provenance(outcome: Json) -> list[tuple[str, str]]:
    given = outcome.get("provenance") or {}
    data, versions = given.get("data") or {}, given.get("versions") or {}
    rows = [
        ("Recipe", given.get("recipe")),
        ("Recipe's sha256", given.get("recipe_sha256")),
        ("Target's sha256", given.get("target_sha256")),
        ("Data", data.get("name")),
        ("Data's digest", data.get("digest")),
        ("Commit", given.get("commit") or "not known"),
        ("Seed", given.get("seed")),
        ("Libraries", ", ".join(f"{library} {version}" for library, version in versions.items())),
        ("Bundle", outcome.get("bundle")),
        ("Report", outcome.get("report")),
    ]
    return [(label, str(value)) for label, value in rows if value not in (None, "")]


def _moment(text: Any) -> str:
    """2026-01-01T12:00:00Z as 2026-01-01 12:00 UTC; anything else as it is."""
    said = str(text or "")
    return f"{said[:10]} {said[11:16]} UTC" if len(said) >= 17 and said[10] == "T" else said
