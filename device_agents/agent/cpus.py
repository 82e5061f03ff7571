"""Cores: which ones to measure on, pinning to them, and how busy others keep them."""

from __future__ import annotations

import os
import time
from typing import Dict, List, Optional, Tuple

from .probe import read_text


def allowed() -> List[int]:
    """Cores that this process may use; all of them where the system doesn't say (some Android Pythons)."""
    try:
        return sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return list(range(os.cpu_count() or 1))


def pin(cpus: List[int]) -> bool:
    """Pins the calling thread, and what it starts later, to `cpus`; False where that isn't possible."""
    try:
        os.sched_setaffinity(0, cpus)
    except (AttributeError, OSError):
        return False
    return True


def busy_ticks(sysroot: str = "/") -> Dict[int, Tuple[int, int]]:
    """Per core (ticks in use, ticks in all) since boot; empty where /proc/stat can't be read."""
    found = {}
    for line in (read_text(sysroot, "proc/stat") or "").splitlines():
        parts = line.split()
        if not parts or not parts[0].startswith("cpu") or not parts[0][3:].isdigit():
            continue
        # user nice system idle iowait irq softirq steal; guest time is inside user already.
        ticks = [int(part) for part in parts[1:9]]
        found[int(parts[0][3:])] = (sum(ticks) - sum(ticks[3:5]), sum(ticks))
    return found


def used_ns(before: Dict[int, Tuple[int, int]], after: Dict[int, Tuple[int, int]], cpus: List[int]) -> Optional[int]:
    """Nanoseconds for which `cpus` were in use by anyone between two readings; None where a core is missing."""
    if not all(cpu in before and cpu in after for cpu in cpus):
        return None
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return sum(after[cpu][0] - before[cpu][0] for cpu in cpus) * tick_ns


def choose(count: int, sysroot: str = "/", watch_s: float = 0.3) -> List[int]:
    """The `count` idlest of the fastest kind of core that we may use (a big.LITTLE chip's small cores come last)."""
    candidates = allowed()
    before = busy_ticks(sysroot)
    time.sleep(watch_s)
    after = busy_ticks(sysroot)

    def key(cpu: int) -> Tuple[int, int, int]:
        text = read_text(sysroot, "sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq" % cpu) or "0"
        busy = used_ns(before, after, [cpu]) or 0
        # The last core first among equals: interrupts are mostly served by the first.
        return -int(text) if text.isdigit() else 0, busy, -cpu

    return sorted(sorted(candidates, key=key)[: max(1, count)])
