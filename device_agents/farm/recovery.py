"""Reports of jobs that were measured to the end and never written, made again from the journals that they left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from device_agents.errors import DeviceError
from device_agents.farm.assemble import assemble
from device_agents.farm.events import closing
from device_agents.farm.intake import Intake
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job
from device_agents.farm.journal import FOLDER, SCHEMA, Journal
from device_agents.farm.prepare import RuntimeInfo
from device_agents.farm.report import Report

REPORTS = "reports"
RECOVERED = "this report was made from its job's journal: the program that had measured did not write it"
_UNFINISHED_S = 24 * 3600.0
_MOST_LINE = 16 << 20


def recover(state: Path) -> list[Report]:
    """The reports of jobs that ended well and whose report isn't in <state>/reports, oldest first.

    Writing such a report takes its journal away. A journal whose writer lives is left alone, and so is one of a
    finished job that this version can't read; one of a job that didn't end is taken away after a day, and makes none.
    """
    reports = []
    for path in sorted((state / FOLDER).glob("*.jsonl")):
        journal = Journal.left(path)
        if journal is None:
            continue
        if (state / REPORTS / f"{path.stem}.json").exists():
            journal.done()
        elif (report := _report(path)) is not None:
            report.journal = journal
            reports.append(report)
        elif time.time() - path.stat().st_mtime > _UNFINISHED_S and not _ended(path):
            journal.done()
    return reports


def _report(path: Path) -> Report | None:
    """The report that a journal gives; None where the job didn't end well, or the file is no journal."""
    lines = _lines(path)
    try:
        head = json.loads(next(lines, b""))
        if head["schema"] != SCHEMA or head["report"] != path.stem:
            return None
        entry, job = DeviceEntry.model_validate(head["entry"]), Job.model_validate(head["job"])
        runtimes = {name: _runtime(told) for name, told in head["runtimes"].items()}
        intake = Intake(entry, job)
        for line in lines:
            if line.startswith(b"<"):
                intake.take(line[1:])
            elif line.startswith(b">"):
                intake.grant(json.loads(line[1:])["more"])
        if intake.end is None:
            return None
        intake.check(entry.root)
        report = assemble(entry, job, intake, runtimes, path.stem, str(head["started"]), head["commit"])
        if report.agent["sha256"] is not None:
            report.agent["sha256"] = head["agent"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DeviceError):
        return None
    ended = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    report.finished = ended.strftime("%Y-%m-%dT%H:%M:%SZ")
    report.warnings.append(RECOVERED)
    return report


def _ended(path: Path) -> bool:
    """Whether a job that ended well stands in a journal, or may: a file that can't be read now isn't thrown away."""
    try:
        ends = [closing(line[1:]) for line in _lines(path) if line.startswith(b"<")]
        return any(end["ok"] for end in ends if end is not None)
    except OSError:
        return True


def _runtime(told: dict[str, Any]) -> RuntimeInfo:
    return RuntimeInfo(**{**told, "providers": tuple(told["providers"])})


def _lines(path: Path) -> Iterator[bytes]:
    """Its lines; the last one may have been cut, and is no event then."""
    with path.open("rb") as stream:
        while line := stream.readline(_MOST_LINE):
            yield line.rstrip(b"\n")
