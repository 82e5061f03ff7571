"""What a night of the farm leaves behind: one JSON file a night, which is written while it runs, so that a killed one
can be read and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from device_agents.errors import DeviceError
from edgewright.files import canonical_json, write_atomically

SCHEMA = "edgewright-night/1"
FOLDER = "nights"
FILE = "night.json"

DeviceState = Literal[
    "healthy", "quarantined", "reserved", "busy", "unreachable", "unfit", "replaced", "died"
]  # fmt: skip
JobState = Literal["waiting", "running", "measured", "known", "invalid", "failed", "skipped"]
Status = Literal[0, 1, 2]

DONE: tuple[JobState, ...] = ("measured", "known")
"""States of a job that gave what the night wanted of it."""


class NightUnreadable(DeviceError):
    """A night's record is damaged, or of another version."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Build(_Part):
    """What was built of one model for one target. seconds: of all its steps that ran; problem: what of it failed."""

    model: str
    target: str
    state: Literal["built", "cached", "failed"]
    variants: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: str | None = None
    remedy: str | None = None


class DeviceNight(_Part):
    """One device's night. identity: what tells the board from another of its name; jobs: how many were wanted of it,
    of which so many were measured; seconds_busy: how long jobs ran there."""

    name: str
    target: str
    identity: str | None = None
    state: DeviceState = "healthy"
    problem: str | None = None
    remedy: str | None = None
    jobs: int = 0
    measured: int = 0
    seconds_busy: float = 0.0


class JobNight(_Part):
    """One model on one device. variants: digests of the bundles by variant, {} until they are built; report: the id of
    the report that was filed, also of an invalid one; seconds: of its last attempt; problem: also of a measured one, of
    which a variant failed.

    known: measured earlier in this same night, before it was killed; skipped: its device was not there to be asked, or
    the deadline came; invalid: a report was filed that says itself that it can't be trusted.
    """

    id: str
    device: str
    target: str
    model: str
    variants: dict[str, str] = Field(default_factory=dict)
    state: JobState = "waiting"
    attempts: int = 0
    report: str | None = None
    seconds: float = 0.0
    problem: str | None = None
    remedy: str | None = None


class Night(_Part):
    """A night. id: its start in UTC, as 20261126T020000Z; times are ISO 8601, finished is None until its end.

    verdicts: SeriesVerdict.to_json() of the series that it added to; regressions: places in it of those that make the
    status 1; problem: why not all of it was judged.
    """

    id: str
    started: str
    finished: str | None = None
    commit: str | None = None
    deadline: str | None = None
    host: str = ""
    status: Status | None = None
    builds: tuple[Build, ...] = ()
    devices: tuple[DeviceNight, ...] = ()
    jobs: tuple[JobNight, ...] = ()
    verdicts: tuple[dict[str, Any], ...] = ()
    regressions: tuple[int, ...] = ()
    problem: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, given: Any) -> Any:
        if isinstance(given, dict) and "schema" in given:
            if given["schema"] != SCHEMA:
                raise ValueError(f"the schema is {given['schema']!r}, not {SCHEMA!r}")
            return {name: value for name, value in given.items() if name != "schema"}
        return given

    def to_json(self) -> dict[str, Any]:
        """The night as one JSON object."""
        return {"schema": SCHEMA} | self.model_dump(mode="json")

    def write(self, state: Path) -> Path:
        """Writes the record, whole or not at all; the path. Raises OSError."""
        path = place(state, self.id)
        write_atomically(path, canonical_json(self.to_json()))
        return path

    @classmethod
    def read(cls, path: Path) -> Night:
        """Raises NightUnreadable."""
        try:
            return cls.model_validate(json.loads(path.read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise NightUnreadable(
                f"This is no record of a night: {why}",
                where=str(path),
                remedy=f"rm -r {path.parent}, if it is not needed",
            ) from error


def place(state: Path, id: str) -> Path:
    """Where a night's record lies."""
    return state / FOLDER / id / FILE


def night_id(started: datetime) -> str:
    """A night's name by its start, which sorts by time."""
    return started.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def moment(time: datetime) -> str:
    """A time as a record has it: UTC, ISO 8601, to the second."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _files(state: Path) -> list[Path]:
    return sorted((state / FOLDER).glob(f"*/{FILE}"))


def nights(state: Path, note: Callable[[str], None] = lambda line: None, last: int | None = None) -> list[Night]:
    """The nights that there are, oldest first, of more than `last` the newest; what can't be read is noted."""
    found: list[Night] = []
    for path in reversed(_files(state)):
        if last is not None and len(found) == last:
            break
        try:
            found.append(Night.read(path))
        except NightUnreadable as error:
            note(f"warning: {error.what} ({error.where})")
    return found[::-1]


def newest(state: Path, note: Callable[[str], None] = lambda line: None) -> Night | None:
    """The newest night that can be read, finished or not; None where there is none."""
    return next(iter(nights(state, note, last=1)), None)


def status_of(builds: Iterable[Build], jobs: Iterable[JobNight], regressions: Iterable[int]) -> Status:
    """1 where there is a regression, which outranks 2: something that was wanted was not built or not measured."""
    if any(True for _ in regressions):
        return 1
    missed = any(one.state == "failed" or one.problem for one in builds) or any(
        one.state not in DONE or one.problem for one in jobs
    )
    return 2 if missed else 0
