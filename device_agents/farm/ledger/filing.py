"""A finished report is kept, whatever happens next: as a file, then in the ledger, now or when that is back.

A report that the ledger hasn't yet is marked by a file `<id>.unfiled` beside its JSON. The mark is made before the JSON
and goes when the ledger has the report, so there is no moment at which a whole JSON is neither marked nor filed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.farm.ledger.errors import LedgerUnavailable, ReportNotKept
from device_agents.farm.ledger.rows import split
from device_agents.farm.report import Report
from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from device_agents.farm.ledger.ledger import Ledger

MARK = ".unfiled"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0


@dataclass(frozen=True)
class Filed:
    """Where a report is. path: its JSON, None where that could not be written; problem: what a person should know."""

    path: Path | None
    in_ledger: bool
    problem: str | None = None


def file_report(
    report: Report,
    state: Path,
    url: str | None = None,
    patience_s: float = 90.0,
    waiting: Callable[[str], None] = lambda why: None,
) -> Filed:
    """Writes a finished report into <state>/reports and files it in the ledger: to be called before anything is said.

    A ledger that is away is tried again for `patience_s` seconds (`waiting` is told why, once), then the report stays
    marked for `file_waiting`. Raises BadReport, and ReportNotKept where neither the file nor the ledger would take it.
    """
    split(report)  # raises where it is no JSON: trying again would not help
    folder = state / "reports"
    path, no_file, unfiled = None, None, None
    deadline, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        if path is None:
            path, no_file = _write(report, folder)
        unfiled = _append(report, state, url)
        left = deadline - time.monotonic()
        if not isinstance(unfiled, LedgerUnavailable) or left <= 0:
            break
        if pause == _FIRST_PAUSE_S:
            waiting(unfiled.what)
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE_S)
    if unfiled is None:
        _unmark(folder, report.id)
        if report.journal is not None:
            report.journal.done()  # also where no file was written: the ledger has it
        return Filed(path, True, no_file and f"{no_file}\n  next:  make room; the ledger has the report")
    if path is None:
        raise ReportNotKept(
            f"The report {report.id} could not be kept: {no_file}; {unfiled.what}",
            where=str(folder),
            remedy="make room on the disk, then measure again: ./inv deploy",
        ) from unfiled
    return Filed(path, False, f"The report is not in the ledger yet. {unfiled}")


def file_waiting(state: Path, url: str | None = None) -> list[Filed]:
    """Files what earlier runs had to leave, oldest first; what still can't be filed stays marked, and says why."""
    marks = sorted((state / "reports").glob(f"*{MARK}"))
    # A mark without a JSON is of a run that is just writing it, or that died before it had.
    paths = [path for mark in marks if (path := mark.with_suffix(".json")).exists()]
    if not paths:
        return []
    from device_agents.farm.ledger.ledger import Ledger

    done: list[Filed] = []
    try:
        with Ledger.open(url, state) as ledger:
            for path in paths:
                done.append(_file(ledger, path))
    except EdgewrightError as error:  # the ledger is away: so it is for the rest
        done += [Filed(path, False, str(error)) for path in paths[len(done) :]]
    return done


def _file(ledger: Ledger, path: Path) -> Filed:
    try:
        ledger.append(Report.read(path))
    except LedgerUnavailable:
        raise
    except EdgewrightError as error:  # of this report alone: damaged, or another one has its id
        return Filed(path, False, str(error))
    _unmark(path.parent, path.stem)
    return Filed(path, True)


def _write(report: Report, folder: Path) -> tuple[Path | None, str | None]:
    """(the JSON, None), or (None, what is wrong with the disk)."""
    mark = folder / f"{report.id}{MARK}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        path = report.write(folder)
        return path, None
    except OSError as error:
        with contextlib.suppress(OSError):
            if not (folder / f"{report.id}.json").exists():
                mark.unlink(missing_ok=True)
        return None, f"The report's file can't be written into {folder}: {error.strerror or error}"


def _append(report: Report, state: Path, url: str | None) -> EdgewrightError | None:
    """None where the ledger has it now, else why not. A ledger that was away is opened anew: it may be another one."""
    from device_agents.farm.ledger.ledger import Ledger

    try:
        with Ledger.open(url, state) as ledger:
            ledger.append(report)
    except EdgewrightError as error:
        return error
    return None


def _unmark(folder: Path, id: str) -> None:
    with contextlib.suppress(OSError):  # a mark that stays costs one look at the ledger, and loses nothing
        (folder / f"{id}{MARK}").unlink(missing_ok=True)
