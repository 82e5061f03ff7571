"""Two results of one report, held against each other by every metric: what B costs or gives beside A, and the verdict.

Time, memory and energy vary from run to run, and are judged by their interval; size and accuracy don't, and are judged
as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from device_agents.farm.paired import Comparison, Ratio, latency, percentile, ratio_of
from device_agents.farm.report import energies_mj
from device_agents.farm.sequential import Looker, Rule, decide

Result = Mapping[str, Any]
Verdict = Literal["same", "better", "worse", "undecided"]

_VERDICTS: dict[Comparison, Verdict] = {
    "same": "same",
    "faster": "better",
    "slower": "worse",
    "undecided": "undecided",
}
_WORDS: dict[str, dict[Verdict, str]] = {
    "latency": {"better": "faster", "worse": "slower"},
    "load time": {"better": "faster", "worse": "slower"},
    "memory": {"better": "less", "worse": "more"},
    "energy": {"better": "less", "worse": "more"},
    "size": {"better": "smaller", "worse": "larger"},
    "accuracy": {"better": "higher", "worse": "lower"},
}
LOUDER_THRESHOLD = 0.05
"""The smallest change of load time, memory and energy that counts: they are taken a few times only, and vary more."""


@dataclass(frozen=True)
class Line:
    """One metric. a, b: its values in base units (ns, bytes, mJ, a share), None where it isn't known; change: b over a,
    less one (of accuracy b less a), with its interval where it is judged by one; why: of a metric that wasn't judged.
    """

    metric: str
    a: float | None
    b: float | None
    change: float | None
    low: float | None = None
    high: float | None = None
    verdict: Verdict | None = None
    why: str = ""

    @property
    def word(self) -> str:
        """The verdict in the metric's own word: faster, smaller, lower."""
        return _WORDS[self.metric].get(self.verdict, self.verdict) if self.verdict else "not judged"

    def to_json(self) -> dict[str, Any]:
        return {"word": self.word} | vars(self)


def compare_results(a: Result, b: Result, looker: Looker, sizes: tuple[int, int], idle_mw: float | None) -> list[Line]:
    """Every metric, the latency first. looker: what the sequential rule has said of it; sizes: bytes of the files."""
    rule = looker.rule
    return [
        _latency(a, b, looker),
        _varied("load time", _loads(a), _loads(b), rule),
        _varied("memory", a.get("peaks") or [], b.get("peaks") or [], rule),
        _varied(
            "energy",
            energies_mj(a.get("energy") or [], idle_mw),
            energies_mj(b.get("energy") or [], idle_mw),
            rule,
            "no power sensor tells it",
        ),
        _size(*sizes, rule),
        _accuracy(a.get("accuracy"), b.get("accuracy")),
    ]


def overall(lines: Sequence[Line]) -> Verdict:
    """Worse where any metric is; undecided where the latency is; better where any is better; else the same."""
    verdicts = {line.metric: line.verdict for line in lines}
    if "worse" in verdicts.values():
        return "worse"
    if verdicts.get("latency") not in ("same", "better"):
        return "undecided"
    return "better" if "better" in verdicts.values() else "same"


def _latency(a: Result, b: Result, looker: Looker) -> Line:
    one, other = latency(a), latency(b)
    if one is None or other is None or looker.ratio is None:
        return Line("latency", None, None, None, why="too few blocks were measured")
    return _judged("latency", one.p50_ms * 1e6, other.p50_ms * 1e6, looker.ratio, looker.comparison)


def _loads(result: Result) -> list[float]:
    return [load["load_ns"] for load in result.get("loads") or [] if load["load_ns"] is not None]


def _varied(metric: str, a: Sequence[float], b: Sequence[float], rule: Rule, unknown: str = "it isn't told") -> Line:
    """A metric with one figure a process: of both, those taken at the same turn are paired."""
    pairs = [(one, other) for one, other in zip(a, b, strict=False) if one > 0 and other > 0]
    if not pairs:
        return Line(metric, None, None, None, why=unknown)
    one, other = (percentile(sorted(figures), 0.5) for figures in zip(*pairs, strict=True))
    # One look only, so its interval needs no share of the error left over for others.
    ratio = ratio_of([[math.log(first / second)] for first, second in pairs], confidence=1 - rule.error)
    if ratio is None:
        return Line(metric, one, other, other / one - 1, why="it was taken once, so its spread isn't known")
    return _judged(metric, one, other, ratio, decide(ratio, max(rule.threshold, LOUDER_THRESHOLD)))


def _judged(metric: str, a: float, b: float, ratio: Ratio, comparison: Comparison) -> Line:
    """ratio: a over b, as Ratio is; a change is b over a, so its ends change places."""
    return Line(
        metric, a, b, 1 / ratio.value - 1, 1 / ratio.high - 1, 1 / max(ratio.low, 1e-300) - 1, _VERDICTS[comparison]
    )


def _size(a: int, b: int, rule: Rule) -> Line:
    """Exactly, but for what is too small to count: metadata moves a file by some bytes."""
    change = b / a - 1 if a else 0.0
    verdict: Verdict = "same" if abs(change) < rule.threshold else "worse" if change > 0 else "better"
    return Line("size", a, b, change, verdict=verdict)


def _accuracy(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Line:
    """Exactly: the same samples on the same device give the same answers, so any difference is the model's."""
    if not a or not b or a.get("value") is None or b.get("value") is None:
        return Line("accuracy", None, None, None, why="no labelled samples were at hand")
    change = b["value"] - a["value"]
    verdict: Verdict = "same" if change == 0 else "better" if change > 0 else "worse"
    return Line("accuracy", a["value"], b["value"], change, verdict=verdict)
