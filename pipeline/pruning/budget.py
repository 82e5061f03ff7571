"""How far down the ladder: shares of units, MACs, parameters or bytes, met as near as single steps allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.pruning.selection import Ladder, Room

    # (group > units that stay) -> share of the original that is gone; never falls down the ladder
    Gone = Callable[[Mapping[str, int]], float]

TOLERANCE = 0.02
"""A budget is met when the share that has gone is this near to the one that was asked."""

SLACK = 0.05
"""With local ranking no group goes further from its own share than this, to bring the sum nearer."""

WINDOW = 2
"""How many points of the ladder on either side of the asked share are varied."""

PAIRS = 12
"""Up to so many groups, two at once are varied."""


@dataclass(frozen=True)
class Fit:
    """widths: group > units that stay; gone: the share of the whole that is gone with them."""

    widths: dict[str, int]
    gone: float


def fit_units(ladder: Ladder, share: float, ranking: str) -> Fit:
    """The beginning of the ladder after which the share of units that is gone is nearest to `share`.

    It never keeps more of any group for a higher share.
    """
    total = sum(room.original for room in ladder.rooms.values())

    def gone(widths: Mapping[str, int]) -> float:
        return 1 - sum(widths.values()) / total

    count = _nearest(ladder, gone, share, _first_reaching(ladder, gone, share))
    if ranking == "local":
        count = min(max(count, ladder.due(share - SLACK)), ladder.due(share + SLACK))
    widths = ladder.widths(count)
    return Fit(widths, gone(widths))


def fit_budget(ladder: Ladder, gone: Gone, share: float) -> Fit:
    """Widths with which the share that is gone is nearest to `share`; beyond TOLERANCE the caller must say so.

    Where a single step of the ladder costs more than the tolerance, one or two groups nearby go a step up or down
    instead. What is tried depends only on the two points of the ladder between which `share` lies, and the nearest
    wins, so a higher share never leaves more in total.
    """
    upper = _first_reaching(ladder, gone, share)
    widths = ladder.widths(_nearest(ladder, gone, share, upper))
    best = Fit(widths, gone(widths))
    seen: set[tuple[int, ...]] = set()
    for depth in (1, 2) if len(ladder.rooms) <= PAIRS else (1,):
        if abs(best.gone - share) <= TOLERANCE or upper == 0:
            break
        for point in range(max(0, upper - 1 - WINDOW), min(len(ladder.steps), upper + WINDOW) + 1):
            for widths in _beside(ladder.rooms, ladder.widths(point), depth):
                if (key := tuple(widths.values())) in seen:
                    continue
                seen.add(key)
                reached = gone(widths)
                if abs(reached - share) < abs(best.gone - share) - 1e-12:
                    best = Fit(widths, reached)
    return best


def _first_reaching(ladder: Ladder, gone: Gone, share: float) -> int:
    """After how many steps no less than the share is gone; all of them where that is never so."""
    low, high = 0, len(ladder.steps)
    while low < high:
        middle = (low + high) // 2
        if gone(ladder.widths(middle)) >= share - 1e-12:
            high = middle
        else:
            low = middle + 1
    return low


def _nearest(ladder: Ladder, gone: Gone, share: float, upper: int) -> int:
    """`upper` or the step before it, whichever is nearer; of two equally near the smaller."""
    if upper == 0:
        return 0
    below, above = (gone(ladder.widths(count)) for count in (upper - 1, upper))
    return upper - 1 if abs(share - below) <= abs(above - share) + 1e-12 else upper


def _beside(rooms: Mapping[str, Room], widths: dict[str, int], depth: int) -> Iterator[dict[str, int]]:
    """The same widths with `depth` groups one step up or down each."""
    for names in combinations(rooms, depth):
        for directions in product((-1, 1), repeat=depth):
            places = [rooms[name].widths.index(widths[name]) + way for name, way in zip(names, directions, strict=True)]
            if all(0 <= place < len(rooms[name].widths) for name, place in zip(names, places, strict=True)):
                changed = {name: rooms[name].widths[place] for name, place in zip(names, places, strict=True)}
                yield {**widths, **changed}
