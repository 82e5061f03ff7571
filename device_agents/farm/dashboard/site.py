"""Writes the dashboard: pages of new reports, then of every series and month, and the morning page last, so that it
never links to what isn't there."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.farm.dashboard import benches, farmview, morning, names
from device_agents.farm.dashboard.errors import DashboardNotWritten, NotADashboard
from device_agents.farm.dashboard.reportview import report_view
from device_agents.farm.dashboard.seriesview import series_view
from device_agents.farm.dashboard.source import Source
from device_agents.farm.dashboard.units import moment
from device_agents.farm.dashboard.written import FILE, Written, maker, put
from device_agents.farm.ledger.entries import ReportEntry
from device_agents.farm.ledger.points import Key, Series
from device_agents.farm.night.record import Night
from device_agents.farm.page import TEMPLATES, template
from device_agents.farm.report import Report, now
from device_agents.farm.series import judge
from device_agents.farm.series.boards import of_newest_boards
from edgewright.files import alone, canonical_json
from edgewright.progress import Progress, Silent, piece

if TYPE_CHECKING:
    from jinja2 import Template

NIGHTS, COMPARISONS = 30, 20
"""How many of the newest the morning page lists."""

_RESULTS = 2000
"""Newest results among which answers are compared: a few nights of a large farm."""
_SAVE_EVERY = 200
_STRANGE = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, IndexError)
"""What a report or a record raises whose parts have other shapes than ours have."""
_LOCK = ".lock"
_NO_SERIES = {Key("", "", "", "", "", "")}

Note = Callable[[str], None]
Verdicts = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Built:
    """index: the morning page; reports: pages of new reports; pages: all other pages."""

    index: Path
    reports: int
    pages: int


def build(source: Source, out: Path, progress: Progress | None = None, note: Note = lambda line: None) -> Built:
    """Writes the dashboard into `out`, one process at a time. Only new reports cost much: their pages never change.

    Raises NotADashboard, DashboardNotWritten, and what the ledger raises.
    """
    try:
        if out.is_dir() and not (out / FILE).exists() and any(path.name != _LOCK for path in out.iterdir()):
            raise NotADashboard(
                "The folder isn't empty, and what is in it is no dashboard.",
                where=str(out),
                remedy="./inv dashboard --out NEW_FOLDER",
            )
        with alone(out / _LOCK):
            return _build(source, out, progress or Silent(), note)
    except OSError as error:
        raise DashboardNotWritten(
            f"The dashboard can't be written: {error.strerror or error}",
            where=str(out),
            remedy="make room there, or name another folder: ./inv dashboard --out FOLDER",
        ) from error


def _build(source: Source, out: Path, progress: Progress, note: Note) -> Built:
    nights = [night for night in source.nights if _showable(night, note)]
    # Series first: whatever is filed meanwhile, each of their reports is among the entries.
    series = source.ledger.series(purposes=source.purposes)
    entries = source.ledger.reports()
    written = Written.read(out, maker())
    written.save()  # from here on the folder is known as ours, also where this is cut off
    put(out / names.STYLE, b"".join((TEMPLATES / name).read_bytes() for name in ("report.css", "dashboard.css")))
    reports = _reports(source, written, entries, progress, note)
    judged = of_newest_boards(series)
    with piece(progress, "judging every series", 1):
        verdicts = source.verdicts if source.verdicts is not None else [one.to_json() for one in judge(judged)]
    pages = {**_series_pages(series, judged, verdicts), **_month_pages(entries)}
    pages[names.INDEX] = _index(source, nights, entries, judged, verdicts)
    for name, text in pages.items():
        put(out / name, _bytes(text))
    return Built(out / names.INDEX, reports, len(pages))


def _reports(source: Source, written: Written, entries: list[ReportEntry], progress: Progress, note: Note) -> int:
    """Writes the pages of new reports; how many. A damaged one has none."""
    new = [entry.id for entry in entries if not written.has(entry.id)]
    page = template("dashboard_report.html.j2")
    try:
        with piece(progress, "report pages", len(new)):
            for count, id in enumerate(new, 1):
                try:
                    report = source.ledger.report(id)
                except (zlib.error, *_STRANGE) as error:
                    note(f"warning: report {id} has no page: {type(error).__name__}: {error}")
                    continue
                # The same bytes for the same report: gzip would write the time into them.
                samples = gzip.compress(canonical_json(report.to_json()), 6, mtime=0)
                written.add(id, _bytes(render_report(page, report)), samples)
                progress.advance()
                if count % _SAVE_EVERY == 0:
                    written.save()
    finally:
        written.save()
    return len(new)


def render_report(page: Template, report: Report) -> str:
    """A report's page; of a report of a strange shape no more than that it is one. They share one style sheet: a year's
    thousands would else hold it thousands of times."""
    frame = {"inline": False, "root": "../", "samples": f"../{names.samples_file(report.id)}", "id": report.id}
    try:
        return page.render(frame, view=report_view(report.to_json()))
    except _STRANGE as error:
        return page.render(frame, view=None, strange=f"{type(error).__name__}: {error}")


def _series_pages(series: list[Series], judged: list[Series], verdicts: Verdicts) -> dict[str, str]:
    by_key: dict[Key, list[dict[str, Any]]] = {}
    for verdict in verdicts:
        by_key.setdefault(Key(**verdict["key"]), []).append(verdict)
    page = template("dashboard_series.html.j2")
    return {
        names.series_file(one.key): page.render(
            series_view(one, newest, by_key.get(one.key, [])), inline=True, root="../"
        )
        for one, newest in zip(series, judged, strict=True)
    }


def _month_pages(entries: list[ReportEntry]) -> dict[str, str]:
    page = template("dashboard_month.html.j2")
    return {
        names.month_file(month): page.render(month=month, rows=rows, inline=True, root="../")
        for month, rows in farmview.months(entries).items()
    }


def _index(
    source: Source,
    nights: list[Night],
    entries: list[ReportEntry],
    series: list[Series],
    verdicts: Verdicts,
) -> str:
    night = nights[-1] if nights else None
    days: Mapping[str, str] = {entry.id: entry.started for entry in entries}
    # Of a comparison, say, the variants are called A and B.
    counted = {entry.id for entry in entries if entry.purpose in source.purposes}
    results = [one for one in source.ledger.results(limit=_RESULTS) if one.report in counted]
    return template("dashboard_index.html.j2").render(
        inline=True,
        root="",
        made=moment(now()),
        night=night,
        started=moment(night.started) if night else "",
        busy=morning.busy(night) if night else "",
        status=morning.status_of(night) if night else None,
        regressions=morning.regressions_of(night, verdicts, days, {one.key for one in series}),
        missing=morning.missing_of(night, days) if night else [],
        health=farmview.health(night, entries),
        series=farmview.series_rows(series, verdicts),
        nights=morning.nights_of(nights[-NIGHTS:]),
        comparisons=farmview.comparisons(entries, COMPARISONS),
        tables=benches.tables(source.benches, results),
        months=farmview.month_links(farmview.months(entries)),
        reports=len(entries),
    )


def _showable(night: Night, note: Note) -> bool:
    """Whether a record's verdicts are ours; one that a person has changed must not cost the page."""
    try:
        for verdict in night.verdicts:
            morning.regressions_of(
                night.model_copy(update={"verdicts": (verdict,), "regressions": (0,)}), (), {}, _NO_SERIES
            )
        morning.regressions_of(night, (), {}, _NO_SERIES)
        morning.busy(night)
        farmview.health(night, ())
    except _STRANGE as error:
        note(f"warning: the record of night {night.id} is not shown: {type(error).__name__}: {error}")
        return False
    return True


def _bytes(text: str) -> bytes:
    """A lone surrogate (a name of another encoding) can't be UTF-8; it must not cost the page."""
    return text.encode("utf-8", "replace")
