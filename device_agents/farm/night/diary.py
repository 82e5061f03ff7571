"""Keeps a night's record on the disk while the night changes it from several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from device_agents.farm.night.record import Build, DeviceNight, JobNight, Night

_SHARE = 19.0
"""Pauses so many times as long as the last writing took: a big farm's record takes a twentieth of one core at most."""


class Diary:
    """A night under way. Every change is on the disk a moment later, those of the same moment together.

    A disk that can't be written is noted once, and the night goes on: reports are kept by other means, or not at all,
    and say so themselves. Use it in `with`: at its end the last state is written.
    """

    def __init__(self, night: Night, state: Path, note: Callable[[str], None]) -> None:
        self._night = night
        self._state = state
        self._note = note
        self._builds = {(one.model, one.target): one for one in night.builds}
        self._devices = {one.name: one for one in night.devices}
        self._jobs = {one.id: one for one in night.jobs}
        self._lock = threading.Lock()
        self._changed, self._over = threading.Event(), threading.Event()
        self._warned = False
        self._writer = threading.Thread(target=self._keep, name="diary", daemon=True)

    @property
    def night(self) -> Night:
        """The night as it is now."""
        with self._lock:
            return self._night.model_copy(
                update={
                    "builds": tuple(self._builds.values()),
                    "devices": tuple(self._devices.values()),
                    "jobs": tuple(self._jobs.values()),
                }
            )

    def change(self, **fields: Any) -> None:
        """Sets fields of the night itself."""
        with self._lock:
            self._night = self._night.model_copy(update=fields)
        self._changed.set()

    def built(self, build: Build) -> None:
        """A build has ended; what an earlier one of the same model and target was is forgotten."""
        with self._lock:
            self._builds[build.model, build.target] = build
        self._changed.set()

    def device(self, name: str, **fields: Any) -> DeviceNight:
        """Sets fields of a device."""
        return self._set(self._devices, name, fields)

    def worked(self, device: str, *, measured: int = 0, seconds: float = 0.0) -> None:
        """Adds to what a device has done."""
        with self._lock:
            old = self._devices[device]
            self._devices[device] = old.model_copy(
                update={"measured": old.measured + measured, "seconds_busy": round(old.seconds_busy + seconds, 1)}
            )
        self._changed.set()

    def job(self, id: str, **fields: Any) -> JobNight:
        """Sets fields of a job."""
        return self._set(self._jobs, id, fields)

    def skip(self, id: str, **fields: Any) -> JobNight | None:
        """A job that still waits is skipped; None where it does not wait any more."""
        with self._lock:
            if self._jobs[id].state != "waiting":
                return None
            found = self._jobs[id] = self._jobs[id].model_copy(update=fields | {"state": "skipped"})
        self._changed.set()
        return found

    def _set(self, parts: dict[str, Any], key: str, fields: Mapping[str, Any]) -> Any:
        with self._lock:
            found = parts[key] = parts[key].model_copy(update=fields)
        self._changed.set()
        return found

    def _keep(self) -> None:
        while not self._over.is_set():
            self._changed.wait()
            self._over.wait(_SHARE * self._write())

    def _write(self) -> float:
        """Writes what there is now; the seconds that it took."""
        began = time.monotonic()
        self._changed.clear()
        try:
            self.night.write(self._state)
        except OSError as error:
            if not self._warned:
                self._note(f"warning: the night's record can't be written: {error.strerror or error}")
            self._warned = True
        return time.monotonic() - began

    def __enter__(self) -> Diary:
        self._write()
        self._writer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._changed.set()
        self._writer.join()
        self._write()
