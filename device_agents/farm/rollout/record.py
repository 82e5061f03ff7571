"""What a rollout leaves on the host: one JSON file, written after every step, so that it can be gone on with.

It says what was asked, and what came of it; where a device stands now is asked of the device.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from device_agents.farm.rollout.errors import NothingToResume, RecordNotWritten, RecordUnreadable, RolloutUnderWay
from edgewright.files import pretty_json, write_atomically

FOLDER = "rollouts"

DeviceState = Literal["untouched", "under way", "good", "rolled back", "failed", "left out", "unknown"]
Status = Literal["running", "done", "incomplete", "halted", "stopped"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Release(_Part):
    """path: its folder on the host; digest: SHA-256 of its SHA256SUMS, by which a device knows it."""

    path: str
    digest: str
    model: str
    target: str
    version: str


class DeviceRollout(_Part):
    """One device. runs: the version that apps there read, None for none or where it isn't known; changed: UTC.

    good: it runs the release, checked there; rolled back: it was tried and the one before is current again; failed:
    it was not switched to; left out: the device could not be asked, or is somebody else's; unknown: it was lost in
    mid-trial, and goes back by itself. latency: what was seen beside the release before; report: of that job.
    """

    state: DeviceState = "untouched"
    why: str = ""
    remedy: str = ""
    runs: str | None = None
    before: str | None = None
    answers: str = ""
    latency: str = ""
    report: str | None = None
    sent_bytes: int | None = None
    changed: str = ""


class Rollout(_Part):
    """One rollout. waves: names of devices, the canary alone in the first; slower: the share by which it may be slower
    than the release before; budget_s: of each device's timing."""

    schema_: Literal["edgewright-rollout/1"] = Field("edgewright-rollout/1", alias="schema")
    id: str
    started: str
    finished: str | None = None
    release: Release
    waves: list[list[str]]
    slower: float = 0.05
    budget_s: float = 30.0
    status: Status = "running"
    devices: dict[str, DeviceRollout]

    def in_state(self, *states: DeviceState) -> list[str]:
        """Names of the devices in one of these states, in the rollout's order."""
        return [name for wave in self.waves for name in wave if self.devices[name].state in states]

    def written(self) -> dict[str, Any]:
        """As its file has it."""
        return self.model_dump(mode="json", by_alias=True)


class Record:
    """The file of a rollout under way; its methods may be called by several threads."""

    def __init__(self, state: Path, rollout: Rollout) -> None:
        """state: the project's. Raises RecordNotWritten, as all methods do."""
        self.path = state / FOLDER / f"{rollout.id}.json"
        self._lock = threading.Lock()
        self._rollout = rollout
        self._write()

    @property
    def rollout(self) -> Rollout:
        """As it stands."""
        with self._lock:
            return self._rollout

    def device(self, name: str, **changes: Any) -> DeviceRollout:
        """What came of one device, once it is on the disk."""
        with self._lock:
            found = self._rollout.devices[name].model_copy(update=changes)
            devices = {**self._rollout.devices, name: found}
            self._rollout = self._rollout.model_copy(update={"devices": devices})
            self._write()
            return found

    def ended(self, status: Status, finished: str) -> Rollout:
        """The rollout at its end."""
        with self._lock:
            self._rollout = self._rollout.model_copy(update={"status": status, "finished": finished})
            self._write()
            return self._rollout

    def _write(self) -> None:
        try:
            write_atomically(self.path, pretty_json(self._rollout.written()))
        except OSError as error:
            raise _not_written(self.path, error) from error


@contextmanager
def alone(state: Path, id: str) -> Iterator[None]:
    """One process at a time on this machine is at work on a rollout: a kernel lock, freed by the death of who holds it.

    Raises RolloutUnderWay, RecordNotWritten.
    """
    path = state / FOLDER / f"{id}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise _not_written(path, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RolloutUnderWay(
                "This rollout is still under way, in another process on this machine.",
                where=str(path),
                remedy="wait for its end, or stop it with Ctrl-C; then ./inv rollout --resume",
            ) from None
        yield


def _not_written(path: Path, error: OSError) -> RecordNotWritten:
    return RecordNotWritten(
        f"The rollout's record can't be written: {error.strerror or error}.",
        where=str(path),
        remedy="make room there, then ./inv rollout --resume; ./inv fleet says what runs where",
    )


def read(path: Path) -> Rollout:
    """A rollout's file. Raises RecordUnreadable."""
    try:
        return Rollout.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RecordUnreadable(
            f"A rollout's record can't be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="./inv fleet says what runs where; remove that file and roll out again",
        ) from error


def unfinished(state: Path, digest: str | None = None) -> Rollout:
    """The newest rollout that is not done. digest: of a release's SHA256SUMS; None for any.

    Raises NothingToResume, RecordUnreadable.
    """
    for rollout in _newest_first(state):
        if digest in (None, rollout.release.digest):
            if rollout.status == "done":
                break
            return rollout
    raise NothingToResume(
        "No rollout of this release is unfinished." if digest else "No rollout is unfinished.",
        where=str(state / FOLDER),
        remedy="./inv rollout --release DIR --devices a,b begins one; ./inv fleet says what runs where",
    )


def _newest_first(state: Path) -> Iterable[Rollout]:
    # An id begins with the time.
    return map(read, sorted((state / FOLDER).glob("*.json"), reverse=True))
