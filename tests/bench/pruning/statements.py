"""What a claim comes to: statements, each with its figures, the interval over seeds and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean, stdev
from typing import Any, Literal

from device_agents.farm.figures import show_ratio
from device_agents.farm.paired import THRESHOLD, Ratio, compare

Tone = Literal["ours", "other", "control"]
Verdict = Literal["reproduced", "refuted", "undecided"]

MARGIN = 0.0025
"""A quarter of a point of accuracy: the standard error of one accuracy of 93 % on 10,000 samples; less is no effect."""

_T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracies with its 95 % t-interval over `n` seeds, paired seed by seed; shares, not %."""

    mean: float
    low: float | None
    high: float | None
    error: float | None
    n: int

    def __str__(self) -> str:
        shown = f"{self.mean * 100:+.2f} points"
        if self.low is None or self.high is None:
            return f"{shown} (one seed)"
        return f"{shown} [{self.low * 100:+.2f} {self.high * 100:+.2f}], n = {self.n}"


def difference(ones: Sequence[float], others: Sequence[float]) -> Difference:
    """ones - others, seed by seed. With one seed there is no interval."""
    pairs = [one - other for one, other in zip(ones, others, strict=True)]
    n, mean = len(pairs), fmean(pairs)
    if n < 2:
        return Difference(mean, None, None, None, n)
    error = stdev(pairs) / math.sqrt(n)
    wide = _T_975.get(n - 1, 1.96 if n > 30 else 2.26) * error
    return Difference(mean, mean - wide, mean + wide, error, n)


def larger(found: Difference) -> Verdict:
    """Whether the first is larger: the whole interval above 0, or the whole below the margin (then it is refuted)."""
    if found.low is None or found.high is None:
        return "undecided"
    return "reproduced" if found.low > 0 else "refuted" if found.high < MARGIN else "undecided"


def below(found: Difference, bound: float) -> Verdict:
    """Whether the difference is smaller than a bound: its whole interval below, or the whole above (then refuted)."""
    if found.low is None or found.high is None:
        return "undecided"
    return "reproduced" if found.high < bound else "refuted" if found.low > bound else "undecided"


def no_worse(found: Difference) -> Verdict:
    """Whether the first is at least as good: its mean within one standard error of the difference, or above.

    The error is the larger of that over seeds and the margin over the root of n, since three seeds may agree by chance.
    """
    if found.error is None or found.high is None:
        return "undecided"
    if found.mean >= -max(found.error, MARGIN / math.sqrt(found.n)):
        return "reproduced"
    return "refuted" if found.high < 0 else "undecided"


def faster(ratio: Ratio | None) -> Verdict:
    """Whether a speed-up was shown in paired blocks."""
    if ratio is None:
        return "undecided"
    said = compare(ratio)
    return "reproduced" if said == "faster" else "undecided" if said == "undecided" else "refuted"


def not_faster(ratio: Ratio | None) -> Verdict:
    """Whether it was shown that there is no speed-up worth the name."""
    said = faster(ratio)
    return {"reproduced": "refuted", "refuted": "reproduced"}.get(said, "undecided")  # type: ignore[return-value]


def not_slower(ratio: Ratio | None) -> Verdict:
    """Whether it was shown that it is at most THRESHOLD slower."""
    if ratio is None:
        return "undecided"
    return "reproduced" if ratio.low > 1 - THRESHOLD else "refuted" if ratio.high < 1 - THRESHOLD else "undecided"


@dataclass(frozen=True)
class Statement:
    """One thing that can be true or not. shown: the figure that decides, as people read it; timed: it is a speed."""

    text: str
    verdict: Verdict
    shown: str
    timed: bool = False

    def of_invalid_session(self) -> Statement:
        """What is left of it where the device was not fit to be measured: no verdict on speed (design, rule 6)."""
        return replace(self, verdict="undecided", shown=f"{self.shown}, in an invalid session") if self.timed else self


@dataclass
class Table:
    """Cells' figures as a table; every cell of it is a text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


@dataclass
class Dot:
    """A point of a plot: where on the one axis, its spread over seeds, and what it is."""

    value: float
    low: float
    high: float
    text: str
    tone: Tone = "ours"


@dataclass
class Plot:
    """Rows of dots on one axis. unit: "%" for shares, "x" for ratios."""

    title: str
    unit: Literal["%", "x"]
    rows: list[tuple[str, list[Dot]]] = field(default_factory=list)


@dataclass
class Finding:
    """A claim judged."""

    name: str
    title: str
    claimed: str
    statements: list[Statement] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def share_of(value: float, digits: int = 0) -> str:
    """75 % for 0.75."""
    return f"{value * 100:.{digits}f} %"


def percent(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds: `92.31 ± 0.12`."""
    mean = f"{fmean(values) * 100:.2f}"
    return f"{mean} ± {stdev(values) * 100:.2f}" if len(values) > 1 else mean


def dot(values: Sequence[float], tone: Tone = "ours", name: str = "") -> Dot:
    """The mean of the seeds, with the least and the largest."""
    text = f"{name}{': ' if name else ''}{percent(values)} %"
    return Dot(fmean(values), min(values), max(values), text, tone)


def speed_text(ratio: Ratio | None) -> str:
    return show_ratio(ratio) if ratio else "not measured"


def speed_dot(ratio: Ratio, tone: Tone = "ours", name: str = "") -> Dot:
    return Dot(ratio.value, ratio.low, ratio.high, f"{name}{': ' if name else ''}{show_ratio(ratio)}", tone)
