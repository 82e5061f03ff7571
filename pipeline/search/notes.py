"""What a search remembers in its folder: every decision and figure as JSON, and the time that it has spent.

What depended on the clock or on a measurement is written down once and read ever after, so a search that is killed goes
on as if it had not been, and the same seed gives the same plan.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json, write_atomically
from edgewright.progress import Progress

SPENT = "spent"
EVERY_S = 2.0
FINE_TUNING = "distil"
"""What the progress of a fine-tuning is called."""


class BudgetSpent(EdgewrightError):
    """The time for a piece of work is over; what it left goes on where the same search is typed again."""


class Notes:
    """One file a note. `now` is a clock in seconds."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self._now = now
        self._before = float((self.read(SPENT) or {}).get("seconds", 0.0))
        self._began = self._kept = now()

    def read(self, name: str) -> Any:
        """A note, or None where there is none that can be read."""
        try:
            return json.loads((self.folder / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, name: str, content: Any) -> Any:
        """Keeps a note, whole or not at all, and gives it back as it will be read."""
        data = pretty_json(content)
        write_atomically(self.folder / f"{name}.json", data)
        self.keep_time()
        return json.loads(data)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What was noted, or what `make` gives now, noted."""
        found = self.read(name)
        return self.write(name, make()) if found is None else found

    @property
    def spent_s(self) -> float:
        """Seconds that the search has taken, over all its runs."""
        return self._before + self._now() - self._began

    def keep_time(self) -> None:
        """Writes down the time spent."""
        self._kept = self._now()
        write_atomically(self.folder / f"{SPENT}.json", pretty_json({"seconds": round(self.spent_s, 1)}))

    def tick(self) -> None:
        """Writes the time down now and then, so that a killed search has not forgotten it."""
        if self._now() - self._kept >= EVERY_S:
            self.keep_time()


class Watched:
    """A progress that keeps the search's time, and ends work that goes past `until` (seconds spent; None: never).

    epochs_s: seconds that all fine-tunings' epochs took, without what came before them, such as the teacher's answers;
    of one that a killed search had begun, as many as if all of its epochs had been run here.
    """

    def __init__(self, progress: Progress, notes: Notes) -> None:
        self._progress = progress
        self._notes = notes
        self.until: float | None = None
        self.epochs_s = 0.0
        self._what, self._total, self._began = "", 0.0, 0.0
        self._before: float | None = None

    def start(self, what: str, total: float) -> None:
        self._progress.start(what, total)
        self._what, self._total, self._began, self._before = what, total, self._notes.spent_s, None
        self._look()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._progress.advance(amount, note)
        if self._before is None:  # a training says first what is done already
            self._before = amount
        self._look()

    def finish(self) -> None:
        self._progress.finish()
        if self._what == FINE_TUNING and (share := 1 - (self._before or 0.0) / max(1.0, self._total)) > 0:
            self.epochs_s += (self._notes.spent_s - self._began) / share

    def _look(self) -> None:
        self._notes.tick()
        if self.until is not None and self._notes.spent_s > self.until:
            raise BudgetSpent("The budget for this is spent", where="--budget", remedy="give a longer --budget")
