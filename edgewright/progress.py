"""How long work shows itself: a moving bar on a terminal, plain lines elsewhere, nothing in tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO


class Progress(Protocol):
    """What long work reports to. Units are the caller's (batches, bytes, blocks)."""

    def start(self, what: str, total: float) -> None:
        """A new piece of work begins."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """`amount` more of it is done; `note` is a short figure to show beside it."""

    def finish(self) -> None:
        """The piece of work is over."""


class Silent:
    """Shows nothing."""

    def start(self, what: str, total: float) -> None: ...

    def advance(self, amount: float = 1.0, note: str = "") -> None: ...

    def finish(self) -> None: ...


class Lines:
    """A plain line now and then, with the time left; for logs and pipes."""

    def __init__(self, stream: TextIO | None = None, every: float = 10.0) -> None:
        self._stream = stream or sys.stderr
        self._every = every
        self._what, self._total, self._done = "", 1.0, 0.0
        self._began = self._spoke = 0.0

    def start(self, what: str, total: float) -> None:
        self._what, self._total, self._done = what, max(total, 1e-9), 0.0
        self._began = self._spoke = time.monotonic()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._spoke < self._every:
            return
        self._spoke = now
        if not self._done:
            print(f"    {self._what}: {now - self._began:.0f} s", file=self._stream, flush=True)
            return
        share = min(self._done / self._total, 1.0)
        left = (now - self._began) * (1 - share) / max(share, 1e-9)
        tail = f"  {note}" if note else ""
        print(f"    {self._what}: {share:4.0%}, about {left:.0f} s left{tail}", file=self._stream, flush=True)

    def finish(self) -> None: ...


class Bar:
    """A rich progress bar with the time left; for terminals."""

    def __init__(self) -> None:
        self._live: Any = None
        self._task: Any = None

    def start(self, what: str, total: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.finish()
        self._live = RichProgress(
            TextColumn("    {task.description}", markup=False),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=2,  # this machine may be the one that is measured
        )
        self._live.start()
        self._task = self._live.add_task(what, total=total, note="")

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        if self._live is not None:
            fields = {"note": note} if note else {}
            self._live.update(self._task, advance=amount, **fields)

    def finish(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def for_stream(stream: TextIO | None = None) -> Progress:
    """The progress that suits where the output goes."""
    stream = stream or sys.stderr
    return Bar() if stream.isatty() else Lines(stream)


@contextmanager
def piece(progress: Progress, what: str, total: float) -> Iterator[Progress]:
    """`with piece(progress, "train", 60) as p: p.advance()`: finished also where the work fails."""
    progress.start(what, total)
    try:
        yield progress
    finally:
        progress.finish()
