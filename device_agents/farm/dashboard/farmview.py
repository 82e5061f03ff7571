"""The morning page's tables: a row a device, a row a series with a small line of its nights, and the comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from device_agents.farm.dashboard import units
from device_agents.farm.dashboard.morning import rank
from device_agents.farm.dashboard.names import month_file, month_of, report_file, series_file
from device_agents.farm.dashboard.seriesview import moved_text, tone
from device_agents.farm.dashboard.timeline import spark
from device_agents.farm.figures import show_seconds
from device_agents.farm.ledger.entries import ReportEntry
from device_agents.farm.ledger.points import Key, Series
from device_agents.farm.night.record import Night
from device_agents.farm.series.nights import nights

Json = Mapping[str, Any]

SEASON = 90
"""Nights that the small line of a series shows."""

_SPOKEN = {"died": "died in the night", "unfit": "not fit to measure", "replaced": "replaced by another board"}
_TONES = {"healthy": "good", "reserved": "amber", "busy": "amber"}


def health(night: Night | None, entries: Sequence[ReportEntry]) -> list[dict[str, Any]]:
    """A row a device: those in trouble first, then by name. Devices that only the ledger knows were no part of the
    night; stand-ins are no part of the farm."""
    seen = {entry.device: entry for entry in entries if not entry.stand_in}  # of each the newest
    told = {device.name: device for device in night.devices} if night is not None else {}
    rows = []
    for name in sorted({*told, *seen}):
        device, last = told.get(name), seen.get(name)
        row = {
            "name": name,
            "target": device.target if device else last.target if last else "",
            "state": "not in this night",
            "tone": "",
            "seen": units.moment(last.started) if last else "never",
            "page": report_file(last.id) if last else "",
            "jobs": "-",
            "busy": "-",
            "why": "",
            "remedy": "",
        }
        if device is not None:
            short = device.state == "healthy" and device.measured < device.jobs
            row |= {
                "state": "not all measured" if short else _SPOKEN.get(device.state, device.state),
                "tone": "amber" if short else _TONES.get(device.state, "bad"),
                "jobs": f"{device.measured} of {device.jobs}",
                "busy": show_seconds(device.seconds_busy),
                "why": device.problem or "",
                "remedy": device.remedy or "",
            }
        rows.append(row)
    return sorted(rows, key=lambda row: (row["tone"] not in ("bad", "amber"), row["name"]))


def series_rows(series: Iterable[Series], verdicts: Sequence[Json]) -> list[dict[str, Any]]:
    """The worst first: every series' latency, and its other metrics where they have changed."""
    by_key = {one.key: one for one in series}
    latencies = {Key(**one["key"]) for one in verdicts if one["metric"] == "latency"}
    rows = []
    for verdict in sorted(verdicts, key=rank):
        key = Key(**verdict["key"])
        changed = verdict["verdict"] not in ("same", "undecided")
        # A series that was never timed is shown by what it has.
        if key in by_key and (verdict["metric"] == "latency" or changed or key not in latencies):
            rows.append(_series_row(by_key[key], verdict))
    return rows


def comparisons(entries: Sequence[ReportEntry], most: int) -> list[dict[str, Any]]:
    """The newest comparisons, newest first."""
    found = [entry for entry in entries if entry.purpose == "compare"]
    return [_entry(entry) for entry in reversed(found[-most:])]


def months(entries: Sequence[ReportEntry]) -> dict[str, list[dict[str, Any]]]:
    """All reports by month, the newest first in either."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in reversed(entries):
        found.setdefault(month_of(entry.started), []).append(_entry(entry))
    return dict(sorted(found.items(), reverse=True))


def month_links(found: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """A link a month."""
    return [{"month": month, "page": month_file(month), "reports": len(rows)} for month, rows in found.items()]


def _series_row(series: Series, verdict: Json) -> dict[str, Any]:
    metric, key = verdict["metric"], series.key
    found, _ = nights(series, metric)
    last = found[-SEASON:]
    places = {night.point.seq: place for place, night in enumerate(last)}
    changes = [places[change["seq"]] for change in verdict["changes"] if places.get(change["seq"], 0) > 0]
    name = last[-1].point.environment.get("metric_name", "") if last else ""
    values = [night.value for night in last]
    edges = (min(values), max(values), values[-1]) if values else ()
    low, high, newest = [units.show(metric, value, name) for value in edges] or ["-"] * 3
    return {
        "key": key,
        "metric": metric.replace("_", " "),
        "page": series_file(key),
        "verdict": verdict["verdict"],
        "tone": tone(verdict),
        "moved": moved_text(metric, verdict) if verdict["verdict"] != "same" else "",
        "newest": newest,
        "nights": verdict["nights"],
        "spark": spark(values, changes) if values else None,
        "said": f"nights: {len(values)}, from {low} to {high}; changes of level: {len(changes)}" if values else "",
    }


def _entry(entry: ReportEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "day": units.moment(entry.started),
        "page": report_file(entry.id),
        "model": entry.model,
        "target": entry.target,
        "device": entry.device + (", emulated" if entry.emulated else ", standing in" if entry.stand_in else ""),
        "purpose": entry.purpose,
        "variants": entry.variants,
        "valid": entry.valid,
    }
