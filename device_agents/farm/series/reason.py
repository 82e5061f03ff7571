"""Verdicts in one sentence each."""

from __future__ import annotations

import math

from device_agents.farm.series.nights import TIMES
from device_agents.farm.series.verdict import Cause, Change, ChangePoint, Word

_MORE_LESS = {
    "latency": ("slower", "faster"),
    "load_time": ("slower to load", "faster to load"),
    "memory": ("more memory", "less memory"),
    "size": ("larger", "smaller"),
    "energy": ("more energy", "less energy"),
    "accuracy": ("more accurate", "less accurate"),
}

_SAYS = {
    "model": "the model changed",
    "runtime": "the runtime changed",
    "kernel": "the kernel or firmware changed",
    "agent": "the agent changed",
    "device": "the device changed",
    "unknown": "nothing that is known of changed",
}


def is_worse(metric: str, ratio: float) -> bool:
    """Whether this ratio, new over old, is for the worse: less accuracy, more of anything else."""
    return ratio < 1 if metric == "accuracy" else ratio > 1


def word(metric: str, ratio: float) -> Word:
    """The verdict on a change."""
    worse = is_worse(metric, ratio)
    if metric in TIMES:
        return "slower" if worse else "faster"
    return "worse" if worse else "better"


def moved(metric: str, change: Change) -> str:
    """2.1 % slower; of an exact change just that, else with [the interval, in percent of the same direction]."""
    more, less = _MORE_LESS[metric]
    up = change.value > 1
    amounts = sorted((bound - 1) * (100 if up else -100) for bound in (change.low, change.high))
    said = f"{_percent(change.value)} {more if up else less}"
    return said if change.low == change.high else f"{said} [{amounts[0]:.1f} {amounts[1]:.1f}]"


def changed(metric: str, change: ChangePoint, steady: bool) -> str:
    """Why a change point is one, and who is to blame. steady: the canary says that the device was fine."""
    device = ", the device was fine" if steady else ""
    blamed = ", or ".join(_blamed(cause) for cause in change.causes)
    rest = ""
    if change.canary and change.causes[0].what != "model" and not steady and change.net:
        rest = f" (net of the canary {change.net.value:.3f}x [{change.net.low:.3f} {change.net.high:.3f}])"
    return f"{moved(metric, change.ratio)} since {change.report}{device}: {blamed}{rest}"


def suspected(metric: str, change: Change, nights: int) -> str:
    """A change that more nights will settle."""
    spell = "tonight" if nights == 1 else f"for {nights} nights"
    return f"perhaps {moved(metric, change)} {spell}: not yet enough nights to say"


def same(change: Change, nights: int, hidden: float) -> str:
    """No change; and the ratio below which a step would not have been seen within these nights."""
    spell = "tonight" if nights == 1 else f"over {nights} nights"
    seen = f"a step under {_percent(hidden)} would not be seen yet"
    return f"no change: {change.value:.3f}x [{change.low:.3f} {change.high:.3f}] {spell}; {seen}"


def _blamed(cause: Cause) -> str:
    return f"{_SAYS[cause.what]} ({cause.how})" if cause.how else _SAYS[cause.what]


def _percent(ratio: float) -> str:
    if not math.isfinite(ratio):
        return "infinitely"
    amount = abs(ratio - 1) * 100
    return f"{amount:.1f} %" if amount >= 0.1 else f"{amount:.2g} %"
