"""Timing one model: warm-up by count and by time, then blocks of raw nanosecond samples."""

from __future__ import annotations

import gc
import time
from typing import Any, Callable, Dict, List

Call = Callable[[], object]


def timer_resolution_ns() -> int:
    """The smallest step that perf_counter_ns was seen to take."""
    steps = []
    for _ in range(50):
        began = now = time.perf_counter_ns()
        while now == began:
            now = time.perf_counter_ns()
        steps.append(now - began)
    return min(steps)


def warm_up(call: Call, runs: int, seconds: float) -> int:
    """Calls until both `runs` and `seconds` are met, but no longer than 10 s or 20 times `seconds`; the calls made."""
    began = time.perf_counter()
    done = 0
    while done < runs or time.perf_counter() - began < seconds:
        call()
        done += 1
        if time.perf_counter() - began > max(10.0, 20 * seconds):
            break
    return done


def repeat(call: Call, seconds: float) -> int:
    """Calls for `seconds`, at least once; the calls made."""
    began = time.perf_counter()
    done = 0
    while not done or time.perf_counter() - began < seconds:
        call()
        done += 1
    return done


def batch_for(call: Call, resolution_ns: int) -> int:
    """Calls per sample: 1, unless one call is under 100 times what the timer can tell apart."""
    quickest = min(_once(call) for _ in range(5))
    return max(1, -(-100 * resolution_ns // max(quickest, 1)))


def _once(call: Call) -> int:
    began = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - began


def block(
    call: Call, *, batch: int, least: int, seconds: float, most_seconds: float, most: int = 2000
) -> Dict[str, Any]:
    """One block: at least `least` samples and `seconds`, at most `most` samples or, after three, `most_seconds`.

    Returns samples_ns (each the time of `batch` calls), batch and wall_ns.
    """
    samples: List[int] = []
    now = time.perf_counter_ns
    again = range(batch)
    # Another process had the core since our last block: refill the caches before a sample counts.
    for _ in range(2):
        call()
    gc.collect()
    gc.disable()
    try:
        began = now()
        while True:
            if batch == 1:
                start = now()
                call()
                stop = now()
            else:
                start = now()
                for _ in again:
                    call()
                stop = now()
            samples.append(stop - start)
            spent = (stop - began) / 1e9
            count = len(samples)
            if (count >= least and spent >= seconds) or count >= most or (count >= 3 and spent >= most_seconds):
                break
        wall = now() - began
    finally:
        gc.enable()
    return {"samples_ns": samples, "batch": batch, "wall_ns": wall}
