"""The bodies of the tasks that look into the ledger: list, show, export, import, accept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.farm.figures import show_bytes, show_metric, show_ms
from device_agents.farm.ledger.address import ledger_url
from device_agents.farm.ledger.entries import Acceptance, ReportEntry, ResultEntry
from device_agents.farm.ledger.errors import NotInLedger
from device_agents.farm.ledger.filing import file_waiting
from edgewright.errors import BadArgument
from edgewright.places import user_name
from pipeline.project import Project
from pipeline.table import aligned, plain

if TYPE_CHECKING:
    from device_agents.farm.ledger.ledger import Ledger


def open_ledger(project: Project) -> Ledger:
    """The project's ledger, with what earlier runs had to leave filed first; what still can't be is said on stderr."""
    from device_agents.farm.ledger.ledger import Ledger

    file_left(project, lambda line: print(line, file=sys.stderr))
    return Ledger.open(ledger_url(project.farm_file), project.state)


def file_left(project: Project, note: Callable[[str], None]) -> None:
    """Files the reports that earlier runs had to leave; what still can't be filed is noted."""
    for filed in file_waiting(project.state, ledger_url(project.farm_file)):
        if not filed.in_ledger:
            note(f"warning: {filed.path} is not in the ledger: {filed.problem}")


def show_list(model: str | None, target: str | None, device: str | None, limit: int, as_json: bool) -> None:
    """The newest reports, oldest of them first. limit: how many, 0 for all."""
    if limit < 0:
        raise BadArgument(f"{limit} is no number of reports", where="--limit", remedy="0 shows all")
    with open_ledger(Project.here()) as ledger:
        found = ledger.reports(model=model, target=target, device=device, limit=limit or None)
        where = ledger.where
    if as_json:
        print(json.dumps([asdict(entry) for entry in found], indent=2))
        return
    if found:
        head = ["seq", "started", "model", "target", "device", "for", "variants", "worth", "report"]
        _print([head, *map(_report_row, found)], ["", *("" if entry.valid else "red" for entry in found)])
    print(f"  {len(found)} report{'' if len(found) == 1 else 's'} shown, in {where}")


def show(id: str, as_json: bool) -> None:
    """One report's results; as JSON, the whole of it. Raises NotInLedger."""
    with open_ledger(Project.here()) as ledger:
        if as_json:
            print(json.dumps(ledger.report(id).to_json(), indent=2, sort_keys=True))
            return
        if not (entries := ledger.reports(id=id)):
            ledger.report(id)
        results = ledger.results(report=id)
        report = ledger.report(id)
    (entry,) = entries
    print(f"{plain(entry.model)} > {plain(entry.target)}     device: {plain(entry.device)}{_kind(entry)}")
    for name in ("id", "started", "finished", "purpose", "git_commit", "os", "kernel", "agent_version"):
        if (value := getattr(entry, name)) is not None:
            print(f"  {name.replace('_', ' '):<14} {plain(value)}")
    _print([["variant", "runtime", "size", "metric", "p50 ms", "p90 ms", "bundle"], *map(_result_row, results)])
    for result in results:
        if result.error:
            print(f"  {plain(result.name)}: {plain(result.error)}")
    for word, many in (("INVALID", report.problems), ("warning", report.warnings)):
        for one in many:
            print(f"  {word}: {plain(one)}")


def export(out: str) -> None:
    """Writes the whole ledger into a file."""
    from device_agents.farm.ledger.exchange import export_ledger

    if not out:
        raise BadArgument("No file was named", where="--out", remedy="./inv ledger.export --out reports.jsonl")
    project, path = Project.here(), _path(out)
    with open_ledger(project) as ledger:
        count = export_ledger(ledger, path)
    print(f"  {count} reports, {show_bytes(path.stat().st_size)}, in {project.shown(path)}")


def import_(file: str) -> None:
    """Files every report of an exported file, or none."""
    from device_agents.farm.ledger.exchange import import_file

    with open_ledger(Project.here()) as ledger:
        done = import_file(ledger, _path(file))
    print(f"  {done.new} reports filed, {done.known} were there already")


def _path(given: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise BadArgument(f"{given!r} is nobody's folder", where="FILE", remedy="name a file in another one") from error


def accept(bundle: str, note: str, unmeasured: bool) -> Acceptance:
    """Writes down that a bundle is accepted. Raises BadArgument, BundleError, NotInLedger."""
    project = Project.here()
    with open_ledger(project) as ledger:
        model, target, variant, digest = _named(bundle, project, ledger)
        counting = [
            entry
            for result in ledger.results(bundle=digest, valid=True)
            if result.error is None and not result.canary
            for entry in ledger.reports(id=result.report)
            if not entry.emulated and not entry.stand_in
        ]
        if not counting and not unmeasured:
            raise NotInLedger(
                "No valid report says how that bundle did on a device (stand-ins and emulated ones don't count).",
                where=f"{digest} in {ledger.where}",
                remedy=f"./inv deploy --model {model} --target {target}, or accept it with --unmeasured",
            )
        made = ledger.accept(
            model=model,
            target=target,
            variant=variant,
            bundle=digest,
            who=user_name(),
            note=note,
            report=counting[-1].id if counting else None,
        )
    rests = f"report {made.report}" if made.report else "not measured"
    print(f"  accepted: {plain(variant)} of {plain(model)} for {plain(target)}, bundle {digest[:16]} ({rests})")
    return made


def _named(given: str, project: Project, ledger: Ledger) -> tuple[str, str, str, str]:
    """(model, target, variant, digest) of a bundle on this machine, which is kept, else of one that the ledger knows.

    Raises BadArgument, BundleError, NotInLedger.
    """
    from pipeline.bundles import BundleGone, find_bundle, keep_bundle

    try:
        found = keep_bundle(project, find_bundle(project, given))
        return found.manifest.model, found.manifest.target, found.manifest.name, found.digest
    except BundleGone:
        # A comparison calls its bundles A and B, which are no variant's names.
        purposes = {entry.id: entry.purpose for entry in ledger.reports()}
        measured = {
            one.bundle: one
            for one in ledger.results(bundle=given)
            if not one.canary and purposes[one.report] not in ("compare", "bisect", "gate")
        }
    if len(measured) > 1:
        raise BadArgument(
            f"{len(measured)} bundles begin with {given}.", where="BUNDLE", remedy="give more digits of the digest"
        )
    if not measured:
        raise NotInLedger(
            f"No bundle begins with {given}.",
            where=f"{project.shown(project.state / 'bundles')}, {ledger.where}",
            remedy="./inv ledger.show REPORT names the bundles of a report",
        )
    (one,) = measured.values()
    return one.model, one.target, one.name, one.bundle or ""


def _report_row(entry: ReportEntry) -> list[str]:
    device = f"{plain(entry.device)}{_kind(entry)}"
    return [
        str(entry.seq),
        entry.started[:16].replace("T", " "),
        plain(entry.model),
        plain(entry.target),
        device,
        plain(entry.purpose),
        str(entry.variants),
        "valid" if entry.valid else "INVALID",
        entry.id,
    ]


def _result_row(result: ResultEntry) -> list[str]:
    metric = None if result.metric_value is None else show_metric(result.metric_name or "metric", result.metric_value)
    return [
        plain(result.name),
        plain(f"{result.runtime or '-'} {result.runtime_version or ''}".strip()),
        "-" if result.bytes is None else show_bytes(result.bytes),
        metric or "-",
        *("-" if ns is None else show_ms(ns / 1e6) for ns in (result.p50_ns, result.p90_ns)),
        (result.bundle or "-")[:16],
    ]


def _kind(entry: ReportEntry) -> str:
    return ", emulated" if entry.emulated else ", standing in" if entry.stand_in else ""


def _print(table: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """A table under its head: in colour on a terminal, else plain; cells are never cut, so that an id can be copied."""
    lines = aligned(table)
    if not sys.stdout.isatty():
        print("\n".join(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line, style in zip(lines, ["bold", *(styles[1:] or [""] * (len(lines) - 1))], strict=True):
        console.print(Text(line, style=style), no_wrap=True, crop=False, overflow="ignore")
