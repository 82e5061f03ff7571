"""Before a job: is the device fit to be measured? What passes is waited for, up to a limit; what stays is named."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import cpus
from .probe import state

# Bits of vcgencmd get_throttled that say how it is now (raspberrypi/documentation, vcgencmd).
_NOW = {0: "undervoltage", 1: "capped clock", 2: "throttling", 3: "soft temperature limit"}
_MODERATE = 2  # Android's thermal status from which on it slows the chip down
_MOST_OTHERS = 0.5
_MOST_C = 80.0
_LOOK_S = 0.5
_PAUSE_S = 2.0

Say = Callable[[str, float], None]
Look = Callable[[], Tuple[Dict[str, Any], Optional[float]]]


def wait_until_fit(job: Dict[str, Any], look: Look, say: Say) -> Tuple[Dict[str, Any], float, List[str]]:
    """(the device's state, seconds waited, what is still wrong with it).

    look: the state now, and others' share of the cores that will be measured (None: unknown). Heat is waited for up to
    job["cool_s"] seconds, all else (a capped clock, others on the cores) up to job["settle_s"]; undervoltage is not,
    for a weak supply doesn't mend itself. say(reason, seconds so far) is called while it waits.
    """
    began = time.monotonic()
    while True:
        found, others = look()
        heat = too_hot(found, job.get("max_temperature_c"))
        passing, lasting = troubles(found, others)
        waited = time.monotonic() - began
        problems = heat + passing + lasting
        limit = float(job.get("cool_s", 300.0)) if heat else float(job.get("settle_s", 15.0)) if passing else 0.0
        if lasting or not problems or waited >= limit:
            return found, waited, problems
        say("; ".join(problems), waited)
        time.sleep(min(_PAUSE_S, max(0.0, limit - waited)))


def look_here(sysroot: str, root: str, cores: List[int]) -> Look:
    """A look at the device that this runs on."""
    return lambda: (state(sysroot, root), others_share(sysroot, cores))


def too_hot(found: Dict[str, Any], limit_c: Optional[float]) -> List[str]:
    """limit_c: above it a job doesn't start; None: 80 C, where a Raspberry Pi's chip begins to slow down."""
    hottest = found.get("temperature_c")
    limit = _MOST_C if limit_c is None else limit_c
    if hottest is None or hottest <= limit:
        return []
    return ["it is too hot before the job: %.1f C, the limit is %.0f C" % (hottest, limit)]


def troubles(found: Dict[str, Any], others: Optional[float]) -> Tuple[List[str], List[str]]:
    """(what may pass, what won't) of a state. others: share of the cores' time that other work takes, or None."""
    passing: List[str] = []
    lasting: List[str] = []
    bits = found.get("throttled") or 0
    for bit, name in _NOW.items():
        if bits >> bit & 1:
            (lasting if bit == 0 else passing).append("%s before the job" % name)
    status = found.get("thermal_status")
    if status is not None and status >= _MODERATE:
        passing.append("the thermal status was %d before the job" % status)
    if others is not None and others > _MOST_OTHERS:
        passing.append("others took %.0f%% of the chosen cores' time before the job" % (100 * others))
    return passing, lasting


def others_share(sysroot: str, cores: List[int]) -> Optional[float]:
    """Share of the cores' time that is taken while we do nothing, 0..1; None where the system doesn't tell."""
    before, began = cpus.busy_ticks(sysroot), time.monotonic_ns()
    time.sleep(_LOOK_S)
    used = cpus.used_ns(before, cpus.busy_ticks(sysroot), cores)
    return None if used is None or not cores else used / ((time.monotonic_ns() - began) * len(cores))
