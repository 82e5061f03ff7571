"""A fixed piece of work that is timed around every round: where it gets slower, the device did, not the model."""

from __future__ import annotations

import time
from typing import List

_STEPS = 40_000


def _work() -> int:
    value = 1
    for step in range(_STEPS):
        value = (value * 1103515245 + step) & 0x7FFFFFFF
    return value


def canary_ns() -> int:
    """The quickest of three goes, in nanoseconds: one interruption is not a slower device."""
    best = 0
    for _ in range(3):
        began = time.perf_counter_ns()
        _work()
        took = time.perf_counter_ns() - began
        best = took if not best else min(best, took)
    return best


def canary_readings(times: int, pause_s: float = 0.05) -> List[int]:
    """That many canaries, in nanoseconds, apart from each other so that what comes and goes on the device is seen."""
    found = []
    for number in range(times):
        if number:
            time.sleep(pause_s)
        found.append(canary_ns())
    return found
