"""Timing one model: warm-up by count and by time, then blocks of raw nanosecond samples."""

from __future__ import annotations

import gc
import time
from typing import Any, Callable, Dict, List

Call = Callable[[], object]

_STEADY = 0.03
_LEAST_WINDOW = 5


def timer_resolution_ns() -> int:
    """The smallest step that perf_counter_ns was seen to take."""
    steps = []
    for _ in range(50):
        began = now = time.perf_counter_ns()
        while now == began:
            now = time.perf_counter_ns()
        steps.append(now - began)
    return min(steps)


def warm_up(call: Call, runs: int, seconds: float) -> Dict[str, Any]:
    """Calls until `runs` and `seconds` are met and a call takes as long as it did: {"calls", "seconds", "stable"}.

    Stable is a median over a quarter of `seconds` (five calls at least) within 3 % of the one before it. A model that
    doesn't settle is given up on after five times `seconds`, and one whose calls are slow after 10 s or 20 times
    `seconds`.
    """
    began = time.perf_counter()
    done, last, stable = 0, 0.0, not (runs or seconds)
    spent = 0.0
    while done < runs or spent < seconds or not stable:
        times = _window(call, seconds / 4, runs - done if done < runs and not seconds else _LEAST_WINDOW)
        done += len(times)
        now = times[len(times) // 2]
        stable = abs(now - last) <= _STEADY * last
        last = now
        spent = time.perf_counter() - began
        if spent > max(10.0, 20 * seconds) or (done >= runs and spent > 5 * seconds):
            break
    return {"calls": done, "seconds": round(spent, 4), "stable": stable}


def _window(call: Call, seconds: float, least: int) -> List[int]:
    """Times of calls over `seconds`, at least `least`, in rising order."""
    times: List[int] = []
    began = time.perf_counter()
    while len(times) < least or time.perf_counter() - began < seconds:
        times.append(_once(call))
    return sorted(times)


def repeat(call: Call, seconds: float) -> int:
    """Calls for `seconds`, at least once; the calls made."""
    began = time.perf_counter()
    done = 0
    while not done or time.perf_counter() - began < seconds:
        call()
        done += 1
    return done


def batch_for(call: Call, resolution_ns: int) -> int:
    """Calls per sample: as many as take 100 times what the timer can tell apart; mostly 1."""
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
