"""What a search is asked to hold, and how long it may take; checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgewright.errors import BadArgument, EdgewrightError
from pipeline.searching import seconds

LEAST_KB = 1.0
"""No file that a runtime loads is smaller: its header and the names of its inputs and outputs fill half of that."""

CAUTION = 0.3
"""Share of what may be lost that caution takes, at most: with little validation data nothing else would be left."""


class Contradiction(EdgewrightError):
    """Constraints that nothing can hold at once, or that nothing at all can hold."""


class FloorOverBase(Contradiction):
    """The trained network itself is below the recipe's floor."""

    exit_status = 3


@dataclass(frozen=True)
class Constraints:
    """max_drop: metric that may be lost against the trained network, 0.01 is one point of top-1; max_ms: p50 on the
    device in ms; max_kb: the model file in kB (1000 bytes). None is no limit. Raises Contradiction."""

    max_drop: float = 0.01
    max_ms: float | None = None
    max_kb: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop < 1:
            raise Contradiction(
                f"Losing {self.max_drop * 100:g} points is nothing to ask for",
                where="--max-drop",
                remedy="give the points of the metric that may be lost: --max-drop 1.0, or 0 for none",
            )
        if self.max_ms is not None and not 0 < self.max_ms < float("inf"):
            raise Contradiction(
                f"No model answers in {self.max_ms:g} ms", where="--max-ms", remedy="give ms above 0: --max-ms 4"
            )
        if self.max_kb is not None and not LEAST_KB <= self.max_kb < float("inf"):
            raise Contradiction(
                f"No model file has {self.max_kb:g} kB or less: its header alone takes about that",
                where="--max-kb",
                remedy=f"give {LEAST_KB:g} kB or more: --max-kb 500",
            )

    @property
    def max_bytes(self) -> float | None:
        return None if self.max_kb is None else self.max_kb * 1000

    def to_json(self) -> dict[str, float | None]:
        return {"max_drop": self.max_drop, "max_ms": self.max_ms, "max_kb": self.max_kb}


def cautious(max_drop: float, base: float, samples: int) -> float:
    """What a candidate may lose on validation, of so many samples, if it is to hold `max_drop` on data that had no say.

    The best of many by a figure with noise looks better than it is. So it is less by one standard error of what two
    networks differ by, of which one errs where the other doesn't about as often as the `base` errs (its metric is in
    0..1), and at least as often as is asked; at most by CAUTION of it.
    """
    noise = math.sqrt(max(max_drop, 1 - base) / max(1, samples))
    return max_drop - min(noise, CAUTION * max_drop)


def read_budget(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h`, `1h30m` or `90`. Raises BadArgument."""
    try:
        return seconds(text)
    except ValueError as error:
        raise BadArgument(
            str(error), where="--budget", remedy="give seconds, minutes or hours: --budget 90s, 30m, 2h"
        ) from error


def check_floor(floor: float, metric: str, base: float, recipe: str) -> None:
    """The trained network must reach the recipe's floor on validation, or nothing made of it may ship.

    Raises FloorOverBase.
    """
    if not base >= floor:
        raise FloorOverBase(
            f"The trained network reaches {base:.4g} {metric} on validation, below the floor of {floor:g}",
            where=f"metric.floor in {recipe}",
            remedy="lower metric.floor, or train better (epochs and learning_rate of [train]), then search again",
        )
