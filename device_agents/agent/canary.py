"""A fixed piece of work that is timed around every block: where it gets slower, the device did, not the model."""

from __future__ import annotations

import bisect
import time
from typing import List

_STEPS = 15_000
BOUND = 1.10
"""A canary beyond this many times its usual time spoils the block beside it (androidx.benchmark's throttle check)."""
CALIBRATION = 15


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


class Usual:
    """What the canary usually takes on this device: the median of the quicker half of all its readings so far.

    The quicker half, so that a device that is slow for most of a job is still held against its own best.
    """

    def __init__(self) -> None:
        self._readings: List[int] = []

    def add(self, ns: int) -> float:
        """Takes a reading; the ratio of it to the usual one, itself included."""
        bisect.insort(self._readings, ns)
        return ns / self.ns

    @property
    def ns(self) -> int:
        """0 before the first reading."""
        quick = self._readings[: max(1, len(self._readings) // 2)]
        return quick[len(quick) // 2] if quick else 0
