"""The lines of one job as they come from its agent: kept in the journal, checked, collected; and where it is enough.

The same path for an agent's lines, a phone's and those of a journal, so that what is recovered is what was measured.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from device_agents.farm.endings import ended_badly, garbled
from device_agents.farm.events import Event, Malformed, names_of, read
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import CANARY, Job
from device_agents.farm.journal import Journal
from device_agents.farm.report import Collector
from edgewright.progress import Progress

MOST_STRANGE = 1000
MOST_STRANGE_BYTES = 16 << 20
MOST_LINES = 500_000
MOST_BYTES = 512 << 20
"""Of a whole job: ten variants in a thousand blocks each of 2000 samples take half of it."""
MOST_LOOKS = 1000


class Intake:
    """One job's lines. `end` is its closing marker once it came; what follows that is left out.

    strange: lines that aren't events; misfits: events that are malformed, or that no agent writes at that point.
    """

    def __init__(self, entry: DeviceEntry, job: Job, journal: Journal | None = None) -> None:
        self.collector = Collector(job)
        self.end: Event | None = None
        self.strange = 0
        self.misfits = 0
        self._entry = entry
        self._names = names_of(job)
        self._journal = journal
        self._lines = self._bytes = self._strange_bytes = self._looks = 0

    def take(self, line: bytes) -> Event | None:
        """The event on a line; None for one that is left out. Raises AgentGarbled where too many are."""
        self._lines += 1
        self._bytes += len(line)
        if self._lines > MOST_LINES or self._bytes > MOST_BYTES:
            raise garbled(self._entry.name, "wrote more than any job has to tell", line)
        if self._journal is not None:
            self._journal.heard(line)
        try:
            event = read(line, self._names)
        except Malformed:
            self.misfits += 1
            event = None
        else:
            if event is None:
                self.strange += 1
            elif not self._fits(event):
                self.misfits += 1
                event = None
        if event is None:
            self._count_strange(line)
        return event

    def _fits(self, event: Event) -> bool:
        if event["kind"] == "beat":
            return True  # from a thread of its own: also before the start and after the end
        if self.end is not None:
            return False
        if event["kind"] == "end":
            self.end = event
            # Before anything else: from here on this job is not lost, whatever happens to us.
            if self._journal is not None:
                self._journal.seal()
            return True
        return self.collector.take(event)

    def _count_strange(self, line: bytes) -> None:
        self._strange_bytes += len(line)
        if self.strange + self.misfits > MOST_STRANGE or self._strange_bytes > MOST_STRANGE_BYTES:
            raise garbled(
                self._entry.name, f"wrote {self.strange + self.misfits} lines that are no agent's, or out of turn", line
            )

    def results(self) -> list[dict[str, Any]]:
        """The variants' results so far."""
        return list(self.collector.results.values())

    def may_grant(self) -> bool:
        """Whether a look is to be answered; an agent that asks without end gets no more."""
        self._looks += 1
        return self._looks <= MOST_LOOKS

    def grant(self, more: int) -> bytes:
        """The host's answer to a look, as a line."""
        self.collector.granted += more
        line = b'{"more":%d}' % more
        if self._journal is not None:
            self._journal.told(line)
        return line

    def check(self, root: str) -> None:
        """Once all lines are in and `end` is there. Raises what the end says, AgentGarbled where nothing began."""
        assert self.end is not None
        if not self.end["ok"]:
            raise ended_badly(self._entry.name, root, self.end, "could not run the job")
        if not self.collector.began and not self.collector.refused:
            raise garbled(self._entry.name, "ended well without having begun")


class Shown:
    """A job's events as its progress: what the device is waited for, then the steps of the measurement."""

    def __init__(self, progress: Progress, job: Job) -> None:
        self._progress = progress
        self._steps = float(len(job.variants) * (job.processes * job.blocks + 2))
        self._waits = ""

    def take(self, event: Event) -> None:
        """One event, as Intake lets it through."""
        if event["kind"] == "waiting":
            if event["reason"] != self._waits:
                self._waits = event["reason"]
                self._progress.start(f"waiting ({self._waits})", 1.0)
            self._progress.advance(0.0)
        elif event["kind"] == "start" and self._waits:
            self._progress.start("measure", self._steps)
        elif event["kind"] in ("block", "memory", "accuracy") and event["name"] != CANARY and event.get("kept", True):
            self._progress.advance(1.0, str(event["name"]))

    def __enter__(self) -> Shown:
        self._progress.start("measure", self._steps)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.finish()
