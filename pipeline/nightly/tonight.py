"""A night under way: each device is looked at, each model built, and where both are done a job is sent there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from device_agents.errors import DeviceBusy
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.night.agenda import Agenda, Change, Piece
from device_agents.farm.night.diary import Diary
from device_agents.farm.night.expected import Expected
from device_agents.farm.night.record import DONE, FOLDER, DeviceState, JobNight
from device_agents.farm.night.retry import Retry
from device_agents.farm.night.schedule import Schedule, stopped_by_signals
from device_agents.farm.report import Report
from device_agents.farm.reserve import DeviceReserved
from edgewright.progress import Progress
from pipeline.nightly import show
from pipeline.nightly.asked import Asked, is_here
from pipeline.nightly.builds import Builds, cores_for_builds
from pipeline.nightly.child import Answer, Pair
from pipeline.nightly.endings import failures, filed, said, state_by
from pipeline.nightly.known import Known
from pipeline.nightly.measuring import Measuring
from pipeline.nightly.visit import visit
from pipeline.project import Project

MOST_PARALLEL = 64
_LOOK = "look:"
"""Ids of the pieces that look at a device begin so; the others are jobs."""
HERE = "this machine"


def job_id(device: str, model: str) -> str:
    """A job's name within its night."""
    return f"{device}/{model}"


@dataclass
class Tonight:
    """until: the deadline on time.monotonic's clock; say: gets each line for a person."""

    project: Project
    asked: Asked
    diary: Diary
    expected: Expected
    known: Known
    progress: Progress
    say: Callable[[str], None]
    note: Callable[[str], None]
    until: float | None = None
    parallel: int = 0
    seed: int = 0
    innocent: set[str] = field(default_factory=set)
    """Jobs that failed, which tells nothing against their device."""
    _fit: dict[str, str | None] = field(default_factory=dict)
    _answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)
    _reports: dict[str, Report] = field(default_factory=dict)
    _meeting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._entries = {entry.name: entry for entry in self.asked.entries}
        self._places = {name: HERE if entry.kind == "local" else name for name, entry in self._entries.items()}
        self._measuring = Measuring(self.project, self.note)
        self._retry = Retry(self.seed)
        self._agenda = Agenda(
            self._changed,
            retry=self._retry,
            deadline=self.until,
            parallel=self.parallel or min(MOST_PARALLEL, len(set(self._places.values()))),
        )
        self._schedule = Schedule(self._agenda, self._work, cut=self._stop)
        # A target whose devices' files can't be read is nobody's to build for.
        wanted = {entry.target for name, entry in self._entries.items() if name not in self.asked.unfit}
        self._builds = Builds(
            self.project,
            [
                Pair(model=model, target=target, recipe=recipe, kind=self.asked.called[target])
                for target in self.asked.targets
                if target in wanted
                for model, recipe in self.asked.models.items()
            ],
            self.project.state / FOLDER / self.diary.night.id,
            self._schedule.quiet,
            self._built,
            cores_for_builds(self.asked.entries, self.asked.targets),
            self.until,
        )

    def run(self) -> bool:
        """Builds and measures; whether it came to its end. What it found is in the diary."""
        self.progress.start("night", float(len(self.diary.night.jobs)))
        looks = []
        for name in self._entries:
            if (error := self.asked.unfit.get(name)) is not None:
                self._out(name, "unfit", error.what, error.remedy)
            else:
                looks.append(Piece(f"{_LOOK}{name}", self._places[name]))
        builder = threading.Thread(target=self._build, name="builds", daemon=True)
        try:
            with stopped_by_signals(self._schedule):
                builder.start()
                self._schedule.run(looks)
        finally:
            self.progress.finish()
        builder.join(10.0)
        if self._schedule.stopped.is_set():
            return False
        for name in self._entries:
            self._skip_all(name, "its builds ended without it", "read the logs beside the night's record")
        return True

    # In threads of their own.

    def _build(self) -> None:
        try:
            self._builds.run()
        except Exception as error:  # a night without builds is told, and not waited for
            self.note(f"warning: the builds stopped: {type(error).__name__}: {error}")
        finally:
            self._schedule.close()

    def _work(self, piece: Piece) -> None:
        if piece.id.startswith(_LOOK):
            self._look(self._entries[piece.id.removeprefix(_LOOK)])
            return
        entry = self._entries[_device_of(piece.id)]
        answer = self._answers[piece.model, entry.target]
        self._reports[piece.id] = self._measuring.job(entry, self.asked.targets[entry.target], answer)

    def _look(self, entry: DeviceEntry) -> None:
        device = self._measuring.open(entry)
        try:
            seen = visit(device, entry, self.asked.targets[entry.target], self.project.state)
        finally:
            self._measuring.close(device)
        self.diary.device(entry.name, identity=seen.identity)
        if seen.state != "healthy":
            self._out(entry.name, seen.state, seen.problem, seen.remedy)
            return
        with self._meeting:
            self._fit[entry.name] = seen.identity
            ready = [answer for (_, target), answer in self._answers.items() if target == entry.target]
        for answer in ready:
            self._send(entry, answer)

    def _built(self, answer: Answer) -> None:
        build = answer.build
        self.diary.built(build)
        self.say(show.build_line(build))
        devices = [entry for entry in self._entries.values() if entry.target == build.target]
        if not answer.variants:
            for entry in devices:
                self._skip(job_id(entry.name, build.model), f"not built: {build.problem}", build.remedy)
            return
        with self._meeting:
            self._answers[build.model, build.target] = answer
            fit = [entry for entry in devices if entry.name in self._fit]
        for entry in fit:
            self._send(entry, answer)

    def _send(self, entry: DeviceEntry, answer: Answer) -> None:
        """A job where the device is fit and the bundles are there; none where this night has measured them already."""
        model, id = answer.build.model, job_id(entry.name, answer.build.model)
        digests = {name: one.digest for name, one in answer.variants.items()}
        found = self.known.find(entry.name, self._fit[entry.name], model, entry.target, answer.variants)
        if found is not None:
            told = {"problem": failures(found), "remedy": None}
            self._end(self.diary.job(id, variants=digests, state="known", report=found.id, **told))
            return
        self.diary.job(id, variants=digests)
        expected = self.expected.seconds(entry.name, model, len(digests))
        self._schedule.add(Piece(id, self._places[entry.name], model, expected, is_here(entry)))

    # In the main thread, by the schedule.

    def _stop(self) -> None:
        self._builds.stop()
        self._measuring.stop()

    def _changed(self, change: Change) -> None:
        piece = change.piece
        if change.state == "running":
            self._began[piece.id] = time.monotonic()
        if piece.id.startswith(_LOOK):
            self._looked(piece.id.removeprefix(_LOOK), change)
            return
        took = round(time.monotonic() - self._began.get(piece.id, time.monotonic()), 1)
        problem, remedy = said(change.error)
        if change.state == "running":
            self.diary.job(piece.id, state="running", attempts=change.attempts)
        elif change.state == "again":
            self._busy(piece.id, took)
            self.diary.job(piece.id, state="waiting", seconds=took, problem=problem, remedy=remedy)
        elif self._schedule.stopped.is_set() and change.state != "done":
            self.diary.job(
                piece.id, state="waiting", problem=change.why or problem, remedy="./inv nightly goes on with it"
            )
            return
        elif change.state == "skipped":
            self._end(self.diary.job(piece.id, state="skipped", problem=change.why, remedy=None))
        elif change.state == "failed":
            self._busy(piece.id, took)
            self._end(self.diary.job(piece.id, state="failed", seconds=took, problem=problem, remedy=remedy))
        else:
            self._busy(piece.id, took)
            self._end(self.diary.job(piece.id, seconds=took, **filed(self._reports.pop(piece.id))))
        if change.state in ("skipped", "failed"):
            self._blame(_device_of(piece.id), change)

    def _looked(self, name: str, change: Change) -> None:
        if change.state == "failed":
            problem, remedy = said(change.error)
            self._out(name, state_by(change.error), problem, remedy)
        elif change.state == "skipped" and not self._schedule.stopped.is_set():
            self._skip_all(name, change.why, None)

    def _blame(self, name: str, change: Change) -> None:
        """What the end of a job says of its device."""
        if change.error is not None and not self._retry.counts(change.error):
            self.innocent.add(change.piece.id)
        given_up = self._agenda.given_up(self._places[name])
        problem, remedy = said(change.error)
        if given_up:
            self.diary.device(name, state="died", problem=given_up, remedy=f"./inv devices.doctor {name}")
        elif isinstance(change.error, DeviceBusy | DeviceReserved):
            self.diary.device(name, state=state_by(change.error), problem=problem, remedy=remedy)

    # Shared.

    def _out(self, name: str, state: DeviceState, problem: str | None, remedy: str | None) -> None:
        """A device that nothing is measured on tonight."""
        self.diary.device(name, state=state, problem=problem, remedy=remedy or None)
        self._skip_all(name, f"{state}: {problem}", remedy)

    def _skip_all(self, name: str, why: str, remedy: str | None) -> None:
        for model in self.asked.models:
            self._skip(job_id(name, model), why, remedy)

    def _skip(self, id: str, why: str, remedy: str | None) -> None:
        job = self.diary.skip(id, problem=why, remedy=remedy or None)
        if job is not None:
            self._end(job)

    def _busy(self, id: str, seconds: float) -> None:
        self.diary.worked(_device_of(id), seconds=seconds)

    def _end(self, job: JobNight) -> None:
        if job.state in DONE:
            self.diary.worked(job.device, measured=1)
        self.say(show.job_line(job))
        self.progress.advance(1.0, f"{job.device} {job.model}")


def _device_of(job: str) -> str:
    return job.rpartition("/")[0]
