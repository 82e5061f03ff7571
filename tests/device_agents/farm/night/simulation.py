"""A farm whose clock jumps from one event to the next: what an agenda makes of it, without threads and sleeps."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from device_agents.farm.night.agenda import Agenda, Change, Piece

Work = Callable[[Piece, int], tuple[float, BaseException | None]]
"""Of a piece and the number of the attempt: the seconds that it takes, and how it fails, None where it doesn't."""


@dataclass
class Simulation:
    """arrivals: pieces by the second in which they come. changes: what the agenda told, each with its second; pass its
    `told` to the agenda."""

    work: Work
    arrivals: dict[float, list[Piece]] = field(default_factory=dict)
    changes: list[tuple[float, Change]] = field(default_factory=list)
    now: float = 0.0

    def told(self, change: Change) -> None:
        self.changes.append((self.now, change))

    def run(self, agenda: Agenda, pieces: Iterable[Piece] = ()) -> None:
        """Until nothing is left."""
        ends: list[tuple[float, int, str, BaseException | None]] = []
        started: dict[str, int] = {}
        coming = sorted(self.arrivals.items(), reverse=True)
        for piece in pieces:
            agenda.add(piece)
        if not coming:
            agenda.close()
        count = 0
        while not agenda.finished:
            for piece in agenda.starts(self.now):
                count += 1
                attempt = started[piece.id] = started.get(piece.id, 0) + 1
                seconds, error = self.work(piece, attempt)
                heapq.heappush(ends, (self.now + seconds, count, piece.id, error))
            pause = agenda.pause(self.now)
            times = [self.now + pause] if pause is not None else []
            times += [ends[0][0]] if ends else []
            times += [coming[-1][0]] if coming else []
            if not times:
                break
            self.now = max(self.now, min(times))
            while coming and coming[-1][0] <= self.now:
                for piece in coming.pop()[1]:
                    agenda.add(piece)
                if not coming:
                    agenda.close()
            while ends and ends[0][0] <= self.now:
                _, _, id, error = heapq.heappop(ends)
                agenda.ended(id, error, self.now)

    def of(self, id: str) -> list[str]:
        """The states of a piece, in order."""
        return [change.state for _, change in self.changes if change.piece.id == id]

    def started(self) -> list[str]:
        """The ids in the order in which they were started."""
        return [change.piece.id for _, change in self.changes if change.state == "running"]

    def last(self, id: str) -> Change:
        return [change for _, change in self.changes if change.piece.id == id][-1]
