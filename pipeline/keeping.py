"""Reports are kept before anything is said of them: as a file, then in the ledger; what a crash left is taken up; and
what --json asks for is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agents.farm import identity
from device_agents.farm.ledger.address import ledger_url
from device_agents.farm.ledger.filing import Filed, file_report
from device_agents.farm.recovery import recover
from device_agents.farm.report import Report
from edgewright.errors import BadArgument
from edgewright.files import pretty_json, write_atomically
from pipeline.ledger import file_left
from pipeline.project import Project

Note = Callable[[str], None]


def on_stderr(line: str) -> None:
    """A line beside a task's own output."""
    print(f"  {line}", file=sys.stderr, flush=True)


def keep(project: Project, report: Report, note: Note = on_stderr, patience_s: float = 90.0) -> Filed:
    """Writes a report and files it; a ledger that is away is waited for, then left for the next run, which is noted.

    The report says where another board gave it than its device's name means (farm/identity.py). Raises ReportNotKept
    where neither the file nor the ledger takes it.
    """
    identity.check(project.state, report)
    filed = file_report(
        report,
        project.state,
        ledger_url(project.farm_file),
        patience_s,
        waiting=lambda why: note(f"the ledger is away, trying again: {why}"),
    )
    if filed.problem:
        note(f"warning: {filed.problem}")
    return filed


def take_up(project: Project, note: Note = on_stderr) -> list[Report]:
    """Writes and files what earlier runs had measured to the end and could not keep; these reports."""
    found = recover(project.state)
    for report in found:
        keep(project, report, note, patience_s=0.0)  # what is typed next waits for no ledger
        note(f"the report of a run that was cut off after it had measured is kept now: {report.id}")
    file_left(project, note)
    return found


def write_told(file: str, content: Any) -> None:
    """Writes what a task's --json asks for, whole or not at all. Raises BadArgument where it can't be written."""
    try:
        write_atomically(Path(file), pretty_json(content))
    except OSError as error:
        raise BadArgument(
            f"What was found can't be written there: {error.strerror or error}",
            where=file,
            remedy="./inv ledger shows the reports, which are kept; name a file in a folder that can be written",
        ) from error
