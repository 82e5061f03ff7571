"""A against B in one session, as long as it takes: same, faster, slower, or undecided when the budget is spent.

The rule is honest about its peeking. There are at most `looks` looks, and the interval of each is so wide that all of
them together hold the truth with a chance of 1 - `error`: the error is shared out evenly (Bonferroni's bound, which
needs nothing of how the looks depend on each other; Jennison & Turnbull, "Group Sequential Methods", 2000, chapter 2).
Whatever is said at any look is said by that interval:

- slower, faster: it leaves out "no change", and the estimate is at least `threshold` away from it;
- same: it lies within `threshold` of "no change" on both sides;
- otherwise more is measured, and once the budget is spent the answer is "undecided".

The budget is of measuring: it runs from the job's start, once the device is reached and fit. How much more is measured
from look to look is set so that the last look, if it comes to that, has the whole budget behind it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from device_agents.farm.paired import THRESHOLD, Comparison, Ratio, speedup

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """threshold: the smallest change that counts, as a share; error: of a whole comparison, both sides together;
    first: process pairs before the first look; growth: the least of pairs at each look over those at the one before;
    budget_s: seconds after which no more is asked for."""

    threshold: float = THRESHOLD
    error: float = 0.02
    looks: int = 6
    first: int = 4
    growth: float = 1.5
    budget_s: float = 60.0

    @property
    def confidence(self) -> float:
        """Of the interval of each look."""
        return 1 - self.error / self.looks


def decide(ratio: Ratio | None, threshold: float = THRESHOLD) -> Comparison:
    """What one interval says of a ratio (above 1: faster); the rule is this module's."""
    if ratio is None:
        return "undecided"
    margin = math.log1p(threshold)
    low, centre, high = math.log(ratio.low), math.log(ratio.value), math.log(ratio.high)
    if low > 0 and centre >= margin:
        return "faster"
    if high < 0 and centre <= -margin:
        return "slower"
    if -margin <= low and high <= margin:
        return "same"
    return "undecided"


@dataclass
class Looker:
    """Answers the agent's looks at a job of two variants. `heard` and `more` are what Device.measure takes."""

    rule: Rule = Rule()
    clock: Callable[[], float] = time.monotonic
    ratio: Ratio | None = None
    comparison: Comparison = "undecided"
    looked: int = 0
    pairs: int = 0
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def heard(self, event: Mapping[str, Any]) -> None:
        """The clock begins with the job: reaching the device and waiting for it to be fit are no measuring."""
        if event.get("kind") == "start":
            self._began = self.clock()

    def more(self, results: Sequence[Result]) -> int:
        """How many process pairs more; 0 where the answer stands or the budget is spent. results: A's, then B's."""
        self.look(results)
        spent = self.clock() - self._began
        left = self.rule.looks - self.looked
        if self.comparison != "undecided" or left <= 0 or not self.pairs or any(one.get("error") for one in results):
            return 0
        affordable = int((self.rule.budget_s - spent) / (spent / self.pairs))
        if affordable <= 0:
            return 0
        growth = max(self.rule.growth, ((self.pairs + affordable) / self.pairs) ** (1 / left))
        return min(affordable, max(1, math.ceil(self.pairs * growth) - self.pairs))

    def look(self, results: Sequence[Result]) -> Comparison:
        """One look at all that there is; counts against the rule's looks."""
        base, other = results
        self.looked += 1
        self.pairs = len({block["process"] for block in other.get("blocks") or []})
        self.ratio = speedup(base, other, confidence=self.rule.confidence)
        self.comparison = decide(self.ratio, self.rule.threshold)
        return self.comparison
