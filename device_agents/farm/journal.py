"""A job's lines on the disk as they come, until its report is: a finished job survives the death of this machine's end.

One file a job under <state>/journal, named by the report's id. Its first line says what was asked of which device; each
further line is one of the agent's after "<", or one of our answers after ">". Whoever writes it holds a kernel lock on
it, so that a journal with no lock is one whose writer has gone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job
from device_agents.farm.prepare import RuntimeInfo
from device_agents.farm.report import Report
from device_agents.pack import agent
from edgewright.files import canonical_json

SCHEMA = "edgewright-journal/1"
FOLDER = "journal"


class Journal:
    """The file of one job. A disk that is full, or can't be written, ends the journal and not the job.

    warning: why it ended early, for the report; None where it is whole.
    """

    def __init__(self, path: Path, file: int = -1) -> None:
        """file: an open descriptor that holds the lock, or -1 where there is no file."""
        self.path = path
        self.warning: str | None = None
        self._file = file

    @classmethod
    def begin(
        cls,
        state: Path | None,
        report: str,
        *,
        entry: DeviceEntry,
        job: Job,
        runtimes: Mapping[str, RuntimeInfo],
        started: str,
        commit: str | None = None,
    ) -> Journal:
        """Begins the journal of a job. state: None keeps none; report: the id of the report to come.

        Never raises OSError.
        """
        if state is None:
            return cls(Path())
        journal = cls(state / FOLDER / f"{report}.jsonl")
        head = {
            "schema": SCHEMA,
            "report": report,
            "entry": entry.model_dump(mode="json"),
            "job": job.model_dump(mode="json"),
            "runtimes": {name: asdict(info) for name, info in runtimes.items()},
            "started": started,
            "commit": commit,
            "agent": agent().sha256,
        }
        try:
            journal.path.parent.mkdir(parents=True, exist_ok=True)
            journal._file = os.open(journal.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            fcntl.flock(journal._file, fcntl.LOCK_EX)
        except OSError as error:
            journal._give_up(error)
        journal._append(canonical_json(head) + b"\n")
        return journal

    def heard(self, line: bytes) -> None:
        """A line of the agent."""
        self._append(b"<" + line + b"\n")

    def told(self, line: bytes) -> None:
        """A line of ours."""
        self._append(b">" + line + b"\n")

    def seal(self) -> None:
        """Once the closing marker is in: all of it is on the disk when this returns."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            self._give_up(error)

    def done(self) -> None:
        """The report is filed: the journal goes. May be called twice."""
        if self._file >= 0:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Lets go of the file, which stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @classmethod
    def left(cls, path: Path) -> Journal | None:
        """A journal whose writer has gone, held by us now; None while somebody holds it, or where it can't be read."""
        try:
            journal = cls(path, os.open(path, os.O_RDWR | os.O_NOFOLLOW))
            fcntl.flock(journal._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        return journal

    def __del__(self) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        try:
            while data and self._file >= 0:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.warning = f"the job's journal could not be kept ({error.strerror or error})"
        self.done()  # half a journal is of no use, and the report needs the room


def journaled(report: Report, journal: Journal) -> Report:
    """A report with the journal that it was made beside, which goes once it is written."""
    report.journal = journal
    report.warnings += [journal.warning] if journal.warning else []
    return report
