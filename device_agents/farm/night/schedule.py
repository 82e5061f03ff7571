"""Runs the pieces of a night: one thread decides, by the agenda, and one thread a running piece does its work."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from device_agents.farm.night.agenda import Agenda, Piece

STOPPED = "the night was stopped"
GRACE_S = 45.0
"""How long a stopped piece may take to end: a connection that is being opened gives up within this."""


class Schedule:
    """`run` in the main thread; all else may be called from any thread, `stop` also from a signal's handler.

    work: does a piece; what it raises is the piece's failure. cut: told once, when the night is stopped, to end what
    runs. clock: seconds, the agenda's.
    """

    def __init__(
        self,
        agenda: Agenda,
        work: Callable[[Piece], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        cut: Callable[[], None] = lambda: None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.stopped = threading.Event()
        self._agenda, self._work, self._clock, self._cut, self._grace_s = agenda, work, clock, cut, grace_s
        # Everything that changes the agenda is a message to the thread that owns it.
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._granted = threading.Event()
        self._give_up_at: float | None = None

    def add(self, piece: Piece) -> None:
        """One more piece."""
        self._inbox.put(lambda: self._agenda.add(piece))

    def close(self) -> None:
        """No more pieces come, but those that running ones add."""
        self._inbox.put(self._agenda.close)

    def stop(self, why: str = STOPPED) -> None:
        """Nothing new starts, what runs is cut off; `run` returns once it has ended, or after a while without it."""
        self._inbox.put(lambda: self._stop(why))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing is measured on this machine in this block. For one thread at a time; check `stopped` within it."""
        self._granted.clear()
        self._inbox.put(self._agenda.want_quiet)
        if self.stopped.is_set():  # told before we began to wait
            self._granted.set()
        self._granted.wait()
        try:
            yield
        finally:
            self._inbox.put(self._agenda.end_quiet)

    def run(self, pieces: Iterable[Piece] = ()) -> None:
        """Does all pieces, until `close` was called and none is left, or until it is stopped."""
        for piece in pieces:
            self._agenda.add(piece)
        while not self._agenda.finished and not self._is_over():
            for piece in self._agenda.starts(self._clock()):
                # A thread of its own, not a pool's: one that hangs for ever does not keep the program from ending.
                threading.Thread(target=self._do, args=(piece,), name=piece.id, daemon=True).start()
            if self._agenda.grant_quiet():
                self._granted.set()
            if not self._agenda.finished:  # `starts` settles what came too late
                self._take()
        self._agenda.abandon()

    def _take(self) -> None:
        """The messages that are there, or the next one."""
        pause = self._agenda.pause(self._clock())
        if self._give_up_at is not None:
            pause = max(0.0, self._give_up_at - self._clock())
        with suppress(queue.Empty):
            self._inbox.get(timeout=pause)()
            while True:
                self._inbox.get_nowait()()

    def _do(self, piece: Piece) -> None:
        error: BaseException | None = None
        try:
            self._work(piece)
        except BaseException as raised:
            error = raised
        self._inbox.put(lambda: self._agenda.ended(piece.id, error, self._clock()))

    def _stop(self, why: str) -> None:
        if self.stopped.is_set():
            return
        self.stopped.set()
        self._agenda.stop(why)
        self._give_up_at = self._clock() + self._grace_s
        self._granted.set()  # whoever waits for quiet looks whether we have stopped
        self._cut()

    def _is_over(self) -> bool:
        return self._give_up_at is not None and self._clock() >= self._give_up_at


@contextmanager
def stopped_by_signals(schedule: Schedule) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal stop a schedule; the second of them ends the program at once."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # What is ignored (nohup, a shell's background job) stays so.
    before = {number: found for number in numbers if (found := signal.getsignal(number)) not in (signal.SIG_IGN, None)}

    def stop(number: int, frame: object) -> None:
        for one, handler in before.items():
            signal.signal(one, handler)
        schedule.stop(f"{STOPPED} ({signal.Signals(number).name})")

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
