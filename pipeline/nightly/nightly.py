"""The body of `./inv nightly`: one night at a time on a host, gone on with where it was killed, judged at its end."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from device_agents.farm.identity import known
from device_agents.farm.night.diary import Diary
from device_agents.farm.night.expected import Expected
from device_agents.farm.night.record import (
    FOLDER,
    DeviceNight,
    JobNight,
    Night,
    moment,
    newest,
    night_id,
    nights,
    status_of,
)
from device_agents.farm.quarantine import Quarantine
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.progress import for_stream
from pipeline.keeping import on_stderr, take_up, write_told
from pipeline.ledger import open_ledger
from pipeline.nightly import show
from pipeline.nightly.asked import Asked, read_asked, read_deadline, words
from pipeline.nightly.endings import failed_devices
from pipeline.nightly.judging import is_regression, judged, of_reports
from pipeline.nightly.known import Known
from pipeline.nightly.tonight import Tonight, job_id
from pipeline.project import Project

REMEMBERED = 14
"""Nights that tell how long a job takes."""
GOES_ON = timedelta(hours=12)
"""How old a killed night without a deadline may be, so that the next one is still the same night."""
STOPPED = 2
"""The exit status of a night that was stopped: not all that was wanted is measured."""


class NightUnderWay(EdgewrightError):
    """Another night of this state folder runs."""


def nightly(
    models: str = "",
    targets: str = "",
    deadline: str = "",
    parallel: int = 0,
    dry_run: bool = False,
    json_file: str | None = None,
) -> Night | None:
    """A whole night; its record, None of a dry run. models, targets: names with commas between, "" for all there are;
    deadline: as read_deadline takes it; parallel: devices at once, 0 for all.

    A night that was stopped has no status. Raises EdgewrightError where it could not begin.
    """
    if parallel < 0:
        raise BadArgument(
            f"{parallel} devices at once can't be", where="--parallel", remedy="give 1 or more, or 0 for all"
        )
    project, now = Project.here(), datetime.now(timezone.utc)
    asked, until = read_asked(project, words(models), words(targets)), read_deadline(deadline, now)
    if dry_run:
        from pipeline.nightly.rehearsal import rehearsal

        print("\n".join(rehearsal(project, asked)))
        return None
    with _one_at_a_time(project.state):
        known(project.state, "")  # one file that can't be read is one error, not every device's
        take_up(project)
        night = _night(project, asked, now, until)
        with Diary(night, project.state, on_stderr) as diary:
            tonight = _tonight(project, asked, diary, parallel)
            if tonight.run():
                _judge(project, diary, tonight.innocent)
    night = diary.night
    print("\n".join(show.lines(night)), flush=True)
    if json_file:
        try:
            write_told(json_file, night.to_json())
        except EdgewrightError as error:  # the night is over: what it came to must not hang on a file
            on_stderr(f"warning: {error.what} ({json_file})")
    return night


def _tonight(project: Project, asked: Asked, diary: Diary, parallel: int) -> Tonight:
    """What builds and measures."""
    night = diary.night
    left = None if night.deadline is None else (_time(night.deadline) - datetime.now(timezone.utc)).total_seconds()
    _say(f"night {night.id}: {len(night.devices)} devices, {len(night.jobs)} jobs")
    return Tonight(
        project,
        asked,
        diary,
        Expected(nights(project.state, on_stderr, last=REMEMBERED)),
        Known.since(project.state, night.id),
        for_stream(),
        _say,
        on_stderr,
        None if left is None else time.monotonic() + left,
        parallel,
        seed=int(_time(night.started).timestamp()),
    )


def _judge(project: Project, diary: Diary, innocent: Collection[str]) -> None:
    """What this night's reports changed, who is held responsible, and how it all ended.

    innocent: jobs whose failure is no device's.
    """
    night = diary.night
    quarantine, failed = Quarantine.read(project.state), failed_devices(night, innocent)
    for name, (why, wholly) in failed.items():
        quarantine.failed(name, why, night.id, wholly=wholly)
    for device in night.devices:
        if device.state == "healthy" and device.measured and device.name not in failed:
            quarantine.passed(device.name)
    if quarantine.problem:
        on_stderr(f"warning: {quarantine.problem}")
    problem = None
    try:
        with open_ledger(project) as ledger:
            verdicts = of_reports(judged(ledger), {job.report for job in night.jobs if job.report})
    except EdgewrightError as error:
        on_stderr(f"warning: nothing is judged: {error}")
        verdicts, problem = [], f"nothing is judged: {error.what}"
    if problem is None and (left := [job.report for job in night.jobs if _unfiled(project.state, job.report)]):
        problem = f"not judged, because they are not in the ledger yet: {', '.join(map(str, left))}"
    worse = tuple(place for place, one in enumerate(verdicts) if is_regression(one))
    diary.change(
        verdicts=tuple(one.to_json() for one in verdicts),
        regressions=worse,
        finished=moment(datetime.now(timezone.utc)),
        problem=problem,
        status=2 if problem and not worse else status_of(night.builds, night.jobs, worse),
    )


def _unfiled(state: Path, report: str | None) -> bool:
    return report is not None and (state / "reports" / f"{report}.unfiled").exists()


def _night(project: Project, asked: Asked, now: datetime, until: datetime | None) -> Night:
    """The night that was killed, where this is the same; else a new one. All its jobs wait."""
    targets = {entry.name: entry.target for entry in asked.entries}
    jobs = tuple(
        JobNight(id=job_id(device, model), device=device, target=target, model=model)
        for device, target in targets.items()
        for model in asked.models
    )
    fresh = Night(
        id=night_id(now),
        started=moment(now),
        commit=project.commit(),
        deadline=None if until is None else moment(until),
        host=socket.gethostname(),
        devices=tuple(
            DeviceNight(name=name, target=target, jobs=len(asked.models)) for name, target in targets.items()
        ),
        jobs=jobs,
    )
    cut_off = newest(project.state, on_stderr)
    if cut_off is None or not _goes_on(cut_off, fresh, now):
        return fresh
    on_stderr(f"going on with night {cut_off.id}, which was cut off")
    return fresh.model_copy(
        update={"id": cut_off.id, "started": cut_off.started, "deadline": fresh.deadline or cut_off.deadline}
    )


def _goes_on(cut_off: Night, fresh: Night, now: datetime) -> bool:
    if cut_off.finished is not None or {job.id for job in cut_off.jobs} != {job.id for job in fresh.jobs}:
        return False
    end = _time(cut_off.deadline) if cut_off.deadline else _time(cut_off.started) + GOES_ON
    return now < end


def _time(given: str) -> datetime:
    return datetime.strptime(given, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


@contextmanager
def _one_at_a_time(state: Path) -> Iterator[None]:
    """A kernel lock, freed by the death of who holds it. Raises NightUnderWay."""
    path = state / FOLDER / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise NightUnderWay(
            f"No night can be written down: {error.strerror or error}", where=str(path), remedy="make room there"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NightUnderWay(
                "Another night runs here.", where=str(path), remedy="wait for its end, or stop it with Ctrl-C"
            ) from None
        yield


def _say(line: str) -> None:
    print(line, flush=True)
