"""What runs next: every decision of a night's schedule, without a clock, a thread or a device of its own.

A piece is one job. At a place (a device) one piece runs at a time, the longest first: started early, it is not what
everything waits for at the end (LPT, R. L. Graham, Bounds on multiprocessing timing anomalies, 1969). Of pieces that
take as long, the one goes first whose model was served least. Where fewer may run than places wait, places take turns.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from device_agents.farm.night.retry import Patience, Retry, patience_with

MOST_FAILURES = 5
"""Failures in a row after which a device is given up for the night: as many as one that is away is called."""
DEADLINE = "it would not have ended before the deadline"


@dataclass(frozen=True)
class Piece:
    """One job. place: what can hold one piece at a time; expected_s: seconds, None where nobody knows; here: it is
    measured on this machine, so that nothing may be built meanwhile."""

    id: str
    place: str
    model: str = ""
    expected_s: float | None = None
    here: bool = False


@dataclass(frozen=True)
class Change:
    """What became of a piece. attempts: how often it was started; error: of the newest that failed; why: it is skipped.

    again: it failed, and waits to be tried again. done, failed and skipped are final.
    """

    piece: Piece
    state: Literal["running", "again", "done", "failed", "skipped"]
    attempts: int
    error: BaseException | None = None
    why: str = ""


@dataclass
class _Lane:
    """A place. over: why nothing starts there any more; failures, rests: how many in a row, rests of one kind of
    failure; open: pieces that have no final state."""

    name: str
    open: dict[str, _Open] = field(default_factory=dict)
    ready: list[tuple[float, int, int, str]] = field(default_factory=list)
    running: str | None = None
    failures: int = 0
    rests: int = 0
    kind: Patience | None = None
    rests_until: float = 0.0
    in_turn: bool = False
    over: str = ""


@dataclass
class _Open:
    """A piece without a final state."""

    piece: Piece
    lane: _Lane
    order: int
    attempts: int = 0
    error: BaseException | None = None


class Agenda:
    """The pieces of a night. deadline: on the caller's clock, in seconds; parallel: how many may run at once.

    All methods are for one thread. `on_change` is called within them.
    """

    def __init__(
        self,
        on_change: Callable[[Change], None] = lambda change: None,
        *,
        retry: Retry | None = None,
        deadline: float | None = None,
        parallel: int = 64,
        most_failures: int = MOST_FAILURES,
    ) -> None:
        self.running = 0
        self._on_change = on_change
        self._retry = retry or Retry()
        self._deadline, self._parallel, self._most_failures = deadline, parallel, most_failures
        self._lanes: dict[str, _Lane] = {}
        self._open: dict[str, _Open] = {}
        self._turn: deque[_Lane] = deque()
        self._held: list[_Lane] = []
        self._later: list[tuple[float, int, str, str]] = []
        self._served: Counter[str] = Counter()
        self._orders = itertools.count()
        self._here, self._quiet, self._quiet_wanted = 0, False, False
        self._closed, self._over = False, ""

    @property
    def finished(self) -> bool:
        """Nothing is left, and nothing more will come."""
        return self._closed and not self._open

    def given_up(self, place: str) -> str:
        """Why nothing starts any more at a place that kept failing; "" where it does."""
        return self._lanes[place].over if place in self._lanes else ""

    def add(self, piece: Piece) -> None:
        """A new piece; ids are used once."""
        lane = self._lanes.setdefault(piece.place, _Lane(piece.place))
        one = self._open[piece.id] = lane.open[piece.id] = _Open(piece, lane, next(self._orders))
        if why := self._over or lane.over:
            self._settle(one, "skipped", why=why)
        else:
            self._make_ready(one)

    def close(self) -> None:
        """Nothing more comes from outside; pieces that run may still add some."""
        self._closed = True

    def starts(self, now: float) -> list[Piece]:
        """The pieces that start now."""
        while self._later and self._later[0][0] <= now:
            _, _, place, id = heapq.heappop(self._later)
            if (one := self._open.get(id)) is not None:
                self._make_ready(one)
            self._queue(self._lanes[place])
        found = []
        while self._turn and self.running < self._parallel:
            lane = self._turn.popleft()
            lane.in_turn = False
            if lane.running is not None or lane.rests_until > now or (one := self._longest(lane, now)) is None:
                continue
            if one.piece.here and self._quiet:
                self._held.append(lane)
                self._make_ready(one, queue=False)
                continue
            found.append(self._start(one))
        return found

    def ended(self, id: str, error: BaseException | None, now: float) -> None:
        """A piece that was started has ended, well where `error` is None. One that was given up on is none any more."""
        one = self._open.get(id)
        if one is None or one.lane.running != id:
            return
        lane = one.lane
        self._leave(one)
        if error is None:
            lane.failures = lane.rests = 0
            self._settle(one, "done")
        elif self._over:
            self._settle(one, "skipped", why=self._over)
        else:
            self._failed(one, error, now)
        self._queue(lane)

    def pause(self, now: float) -> float | None:
        """Seconds until something may start by itself; None where nothing will."""
        return max(0.0, self._later[0][0] - now) if self._later else None

    def stop(self, why: str) -> None:
        """Nothing new starts, nothing is tried again; what runs is waited for."""
        self._over, self._closed = why, True
        self._skip([one for one in self._open.values() if one.lane.running != one.piece.id], why)

    def abandon(self) -> None:
        """What still runs is not waited for any longer."""
        for one in list(self._open.values()):
            self._leave(one)
            self._settle(one, "skipped", why=self._over)

    def want_quiet(self) -> None:
        """Something else wants this machine for itself; `grant_quiet` says when it has it."""
        self._quiet_wanted = True

    def grant_quiet(self) -> bool:
        """Whether it has it from now on. To be asked after `starts`: what is ready to be measured here goes first."""
        if not self._quiet_wanted or self._here:
            return False
        self._quiet, self._quiet_wanted = True, False
        return True

    def end_quiet(self) -> None:
        """This machine may be measured on again."""
        self._quiet = False
        for lane in self._held:
            self._queue(lane)
        self._held.clear()

    def _key(self, one: _Open) -> tuple[float, int, int, str]:
        # What nobody knows may take longest, and is known ever after.
        expected = one.piece.expected_s
        length = float("-inf") if expected is None else -expected
        return length, self._served[one.piece.model], one.order, one.piece.id

    def _make_ready(self, one: _Open, queue: bool = True) -> None:
        heapq.heappush(one.lane.ready, self._key(one))
        if queue:
            self._queue(one.lane)

    def _queue(self, lane: _Lane) -> None:
        if lane.ready and lane.running is None and not lane.in_turn:
            lane.in_turn = True
            self._turn.append(lane)

    def _longest(self, lane: _Lane, now: float) -> _Open | None:
        """Takes the piece that goes first; those that can't end in time any more are settled on the way."""
        while lane.ready:
            key = heapq.heappop(lane.ready)
            one = self._open[key[-1]]
            if key != (due := self._key(one)):  # its model was served meanwhile
                heapq.heappush(lane.ready, due)
            elif self._in_time(one.piece, now):
                return one
            else:
                self._too_late(one)
        return None

    def _in_time(self, piece: Piece, start: float) -> bool:
        return self._deadline is None or start + (piece.expected_s or 0.0) <= self._deadline

    def _too_late(self, one: _Open) -> None:
        self._settle(one, "failed" if one.error else "skipped", error=one.error, why="" if one.error else DEADLINE)

    def _start(self, one: _Open) -> Piece:
        one.attempts += 1
        one.lane.running = one.piece.id
        self.running += 1
        self._here += one.piece.here
        self._served[one.piece.model] += 1
        self._on_change(Change(one.piece, "running", one.attempts))
        return one.piece

    def _leave(self, one: _Open) -> None:
        one.lane.running = None
        self.running -= 1
        self._here -= one.piece.here

    def _failed(self, one: _Open, error: BaseException, now: float) -> None:
        lane, one.error = one.lane, error
        lane.failures += self._retry.counts(error)
        if lane.failures >= self._most_failures:
            lane.over = f"{lane.name} was given up after {lane.failures} failures in a row"
            self._settle(one, "failed", error=error)
            self._skip(list(lane.open.values()), lane.over)
            return
        if (kind := patience_with(error)) is not lane.kind:
            lane.kind, lane.rests = kind, 0
        again = self._retry.after(error, one.piece.id, one.attempts, lane.rests)
        if again is None:
            self._settle(one, "failed", error=error)
        elif not self._in_time(one.piece, now + again.seconds):
            self._too_late(one)
        else:
            self._on_change(Change(one.piece, "again", one.attempts, error))
            due, order = now + again.seconds, next(self._orders)
            lane.rests = lane.rests + 1 if again.rests else 0
            if again.rests:
                lane.rests_until = due
                self._make_ready(one, queue=False)
            heapq.heappush(self._later, (due, order, lane.name, "" if again.rests else one.piece.id))

    def _skip(self, several: list[_Open], why: str) -> None:
        for one in several:
            self._settle(one, "skipped", why=why)
            one.lane.ready.clear()

    def _settle(
        self,
        one: _Open,
        state: Literal["done", "failed", "skipped"],
        *,
        error: BaseException | None = None,
        why: str = "",
    ) -> None:
        del self._open[one.piece.id], one.lane.open[one.piece.id]
        self._on_change(Change(one.piece, state, one.attempts, error, why))
