"""What is said of a series: whether its newest nights differ from those before, and all its changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from device_agents.farm.ledger.points import Key

Word = Literal["same", "faster", "slower", "better", "worse", "undecided"]
"""Times are faster or slower, all else is better or worse."""

What = Literal["model", "runtime", "device", "kernel", "agent", "unknown"]


@dataclass(frozen=True)
class Change:
    """Level after over level before (1.05: 5 % more) with its 95 % interval, of no width for exact metrics."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """JSON has no infinity (accuracy that rose from 0): None stands for it."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Cause:
    """One thing that may have moved a figure; `how` says what of it changed ("bundle 7abbc373 > 0f12aa01")."""

    what: What
    how: str = ""


@dataclass(frozen=True)
class ChangePoint:
    """A night from which on a figure has another level.

    seq, report: its first night. found: the seq of the night on which there was enough to say so. p: how often noise
    alone would look so in this series, before the correction; None for an exact metric. nights: how many are on the
    new level. causes: the likeliest first. canary: what the canary did there; net: what it does not explain; both
    None where there is no canary, or the metric is no time.
    """

    seq: int
    report: str
    found: int
    nights: int
    ratio: Change
    worse: bool
    p: float | None
    causes: tuple[Cause, ...]
    canary: Change | None = None
    net: Change | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "ratio": self.ratio.to_json(),
            "causes": [asdict(cause) for cause in self.causes],
            "canary": self.canary and self.canary.to_json(),
            "net": self.net and self.net.to_json(),
        }


@dataclass(frozen=True)
class SeriesVerdict:
    """The verdict on the newest nights of one metric of one series.

    ratio: what the verdict is about, new level over old; None where there is nothing to compare. worse: the metric
    got worse, whichever way that is. seq, report: the newest night, None where there is none. nights: how many could
    be judged. skipped: which could not, and why.
    """

    key: Key
    metric: str
    verdict: Word
    worse: bool
    ratio: Change | None
    reason: str
    seq: int | None
    report: str | None
    nights: int
    changes: tuple[ChangePoint, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def found_tonight(self) -> bool:
        """The newest night found a change: the time to raise an alarm, once.

        Reports of other series that came later that night can have settled it.
        """
        return bool(self.changes) and self.seq is not None and self.changes[-1].found >= self.seq

    @property
    def blamed(self) -> str | None:
        """What the newest change is put down to before all else; None where there is none."""
        return self.changes[-1].causes[0].what if self.changes else None

    def to_json(self) -> dict[str, Any]:
        given: Mapping[str, Any] = {name: getattr(self, name) for name in ("metric", "verdict", "worse", "reason")}
        return {
            "key": asdict(self.key),
            **given,
            "ratio": self.ratio and self.ratio.to_json(),
            "seq": self.seq,
            "report": self.report,
            "nights": self.nights,
            "found_tonight": self.found_tonight,
            "changes": [change.to_json() for change in self.changes],
            "skipped": list(self.skipped),
        }


def blamed(told: Mapping[str, Any]) -> str | None:
    """`SeriesVerdict.blamed` of one that was written as JSON."""
    changes = told["changes"]
    return changes[-1]["causes"][0]["what"] if changes else None
