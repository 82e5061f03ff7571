"""Quarantine: devices that kept failing, which a night leaves alone until the doctor finds them fit.

One file a host. Several hosts may share a farm, each with a view of its own: whether a device can be measured is told
by the device (its lock, its reservation, its doctor); what is here is only advice on where to lose no time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.report import now
from device_agents.foreign import printable
from edgewright.files import alone, pretty_json, write_atomically

FILE = "quarantine.json"
SCHEMA = "edgewright-quarantine/1"

NIGHTS = 3
"""Nights in a row with a failure that put a device into quarantine. One in which nothing worked does so at once."""


@dataclass(frozen=True)
class Entry:
    """A device that has failed. since: when it went into quarantine (UTC, ISO 8601), None while it is still out of it;
    why: its last failure; failures: nights in a row; night: the id of the last of them."""

    name: str
    since: str | None
    why: str
    failures: int
    night: str


class Quarantine:
    """Who is in it. As advice it never raises: `problem` says why its file can't be read or written, else None."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries, self.problem = _read(path)

    @classmethod
    def read(cls, state: Path) -> Quarantine:
        """The quarantine of a state folder. A file that can't be read is an empty one."""
        return cls(state / FILE)

    def of(self, name: str) -> Entry | None:
        """The device's entry where it is in quarantine."""
        found = self._entries.get(name)
        return found if found is not None and found.since is not None else None

    @property
    def inside(self) -> list[Entry]:
        """Everything that is in quarantine, by name."""
        return [entry for _, entry in sorted(self._entries.items()) if entry.since is not None]

    def failed(self, name: str, why: str, night: str, *, wholly: bool = False) -> Entry | None:
        """A night in which the device failed; its entry where that puts, or leaves, it in quarantine.

        wholly: none of its jobs worked. The same night told twice is one failure.
        """

        def change(entries: dict[str, Entry]) -> None:
            old = entries.get(name)
            failures = (old.failures if old else 0) + (old is None or old.night != night)
            since = (old.since if old else None) or (now() if wholly or failures >= NIGHTS else None)
            entries[name] = Entry(name, since, printable(why, 300), failures, night)

        self._change(change)
        return self.of(name)

    def passed(self, name: str) -> bool:
        """The doctor found it fit, or a night went well: nothing is held against it; whether it was in quarantine."""
        inside = self.of(name) is not None
        if name in self._entries:
            self._change(lambda entries: entries.pop(name, None))
        return inside

    def _change(self, change: Callable[[dict[str, Entry]], Any]) -> None:
        try:
            with alone(self._path.with_name(f"{FILE}.lock")):
                # Read again: another night of this host may have written since.
                self._entries, self.problem = _read(self._path)
                change(self._entries)
                told = [asdict(entry) for _, entry in sorted(self._entries.items())]
                write_atomically(self._path, pretty_json({"schema": SCHEMA, "devices": told}))
        except OSError as error:
            change(self._entries)  # for the night that runs, at least
            self.problem = f"{self._path} can't be written: {error.strerror or error}"


def _read(path: Path) -> tuple[dict[str, Entry], str | None]:
    try:
        found = json.loads(path.read_bytes())
        if found["schema"] != SCHEMA:
            raise ValueError("it is none of this version's")
        return {one["name"]: _entry(one) for one in found["devices"]}, None
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {}, f"{path} can't be read, so nothing is in quarantine: {error}"


def _entry(told: dict[str, Any]) -> Entry:
    entry = Entry(**told)
    texts = (entry.name, entry.why, entry.night, entry.since or "")
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.failures, int):
        raise ValueError("a device's entry has another form")
    return entry
