"""Which units stay: a ladder of single steps down, the least important first, rounded to what the chip likes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import Tensor

RANKINGS = ("local", "global", "group")


class ImpossibleRatio(EdgewrightError):
    """A wish that would leave nothing, take nothing, or can't be met."""


@dataclass(frozen=True)
class Room:
    """How far one group may shrink: units now and originally; what it keeps is a multiple of `step`, `minimum` or more.

    kind: groups of one kind compete where the ranking is over all groups.
    """

    units: int
    original: int
    step: int = 1
    minimum: int = 1
    kind: str = ""

    @property
    def widths(self) -> list[int]:
        """Numbers of units that it may have, from all of them down: multiples of the step, never none."""
        low = -(-max(self.minimum, 1) // self.step) * self.step
        top = (self.units - 1) // self.step * self.step
        return [self.units, *range(top, low - 1, -self.step)]


@dataclass(frozen=True)
class Step:
    """One group goes down to `width` units once more than the share `time` shall go."""

    time: float
    group: str
    width: int


def _border(width: int, lower: int, units: int, step: int) -> float:
    """Below how many units `width` gives way to `lower`: in the middle, but an unaligned whole goes at once."""
    return width if width == units and width % step else (width + lower) / 2


@dataclass(frozen=True)
class Ladder:
    """Every step from the whole network to the smallest allowed one, in the order in which they are taken.

    What a share takes is always a beginning of this one list, so a higher share never keeps more of any group.
    """

    rooms: Mapping[str, Room]
    steps: Sequence[Step]

    def widths(self, count: int) -> dict[str, int]:
        """Units that each group has after the first `count` steps."""
        return {name: room.units for name, room in self.rooms.items()} | {
            step.group: step.width for step in self.steps[:count]
        }

    def due(self, share: float) -> int:
        """How many steps a share takes."""
        return sum(1 for step in self.steps if share > step.time + 1e-9)


def make_ladder(rooms: Mapping[str, Room], scores: Mapping[str, Tensor], ranking: str) -> Ladder:
    """The ladder of these groups. scores: float32 [units] of each, larger is more important.

    `local`: every group loses the same share of its original width. `global`: of all groups of a kind the units with
    the smallest scores go first. `group`: the same, scores divided by their group's mean magnitude.
    """
    times = _local(rooms) if ranking == "local" else _pooled(rooms, scores, normalised=ranking == "group")
    places = {name: place for place, name in enumerate(rooms)}
    found: list[tuple[float, float, int, int, Step]] = []
    for name, room in rooms.items():
        values = _best_first(scores[name])
        whole = sum(abs(value) for value in values) or 1.0
        for width, lower in pairwise(room.widths):
            time = times[name](_border(width, lower, room.units, room.step))
            # Of steps that are due at the same share, the one that loses the least of its group goes first.
            lost = sum(values[lower:width]) / whole
            found.append((round(time, 9), round(lost, 6), places[name], -lower, Step(time, name, lower)))
    return Ladder(rooms, _falling([entry[-1] for entry in sorted(found, key=lambda entry: entry[:-1])]))


def _falling(steps: list[Step]) -> list[Step]:
    """The same with every group's widths falling, also where two of its steps are due at once."""
    own: dict[str, list[Step]] = {}
    for step in steps:
        own.setdefault(step.group, []).append(step)
    for some in own.values():
        some.sort(key=lambda step: step.width)
    return [own[step.group].pop() for step in steps]


def _local(rooms: Mapping[str, Room]) -> dict[str, Callable[[float], float]]:
    """For each group: at which share it falls below a number of units, when each loses the same share."""

    def times(original: int) -> Callable[[float], float]:
        return lambda units: 1 - units / original

    return {name: times(room.original) for name, room in rooms.items()}


def _pooled(
    rooms: Mapping[str, Room], scores: Mapping[str, Tensor], normalised: bool
) -> dict[str, Callable[[float], float]]:
    """For each group: at which share of its kind's original units it falls below a number of units, worst first."""
    pools: dict[str, list[tuple[float, int, str, int]]] = {}
    for place, (name, room) in enumerate(rooms.items()):
        values = _best_first(scores[name])
        mean = sum(abs(value) for value in values) / len(values) if normalised else 1.0
        pools.setdefault(room.kind, []).extend(
            (-value / (mean or 1.0), place, name, rank) for rank, value in enumerate(values)
        )
    shares: dict[tuple[str, int], float] = {}
    for kind, pool in pools.items():
        total = sum(room.original for room in rooms.values() if room.kind == kind)
        for position, (_, _, name, rank) in enumerate(sorted(pool)):
            shares[name, rank] = 1 - (position + 0.5) / total

    def times(name: str) -> Callable[[float], float]:
        # It falls below `units` when its unit number ceil(units), counted from the best, is no longer among those left.
        return lambda units: shares[name, math.ceil(units) - 1]

    return {name: times(name) for name in rooms}


def _best_first(scores: Tensor) -> list[float]:
    return sorted((float(score) for score in scores), reverse=True)


def most_to_least(scores: Tensor) -> list[int]:
    """All units, the most important first; of equal ones the first comes first."""
    import torch

    return [int(unit) for unit in torch.argsort(scores, descending=True, stable=True)]


def most_important(scores: Tensor, count: int) -> list[int]:
    """Indices of the `count` largest scores, sorted; of equal ones the first stay."""
    return sorted(most_to_least(scores)[:count])
