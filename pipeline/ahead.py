"""Bundles made side by side, each process one network in one runtime: exporting and checking take one core each."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline.build import Builder
from pipeline.plan import Plan

MOST = 4
"""Processes, at most."""
MEMORY = 4 * 2**30
"""Bytes of the machine's memory for each: a converter with a small transformer took 1.5 GiB."""
WATCHING_S = 0.2


def workers() -> int:
    """How many processes this machine has cores and memory for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST, cores, _memory() // MEMORY))


def build_ahead(
    builder: Builder, plan: Plan, bundles: Sequence[str], count: int, tick: Callable[[], None] = lambda: None
) -> int:
    """Makes bundles (node ids) of networks that are in the store, `count` at a time; how many processes it took.

    What can't be made is left for the builder, which says why. tick: called while they work. Killed, or gone with
    this process, they leave what they had finished.
    """
    shares = _shares(builder, plan, bundles, count)
    if len(shares) < 2:
        return 0
    wanted = [bundle for share in shares for group in share for bundle in group]
    builder.ahead |= {one.fingerprint for one in plan.needed_for(wanted) if builder.store.find(one.fingerprint) is None}
    processes = [_start(builder, plan, share) for share in shares]
    try:
        while any(one.poll() is None for one in processes):
            tick()
            time.sleep(WATCHING_S)
    finally:
        for one in processes:
            one.kill()
            one.communicate()
    return len(processes)


def _shares(builder: Builder, plan: Plan, bundles: Sequence[str], count: int) -> list[list[list[str]]]:
    """For each process its groups of bundles, the largest shared out first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for variant in plan.variants:
        network = plan.nodes[variant.check].inputs["network"]
        there = builder.store.find(plan.nodes[network].fingerprint) is not None
        if variant.bundle in bundles and there and builder.store.find(plan.nodes[variant.bundle].fingerprint) is None:
            groups.setdefault((network, variant.runtime.name), []).append(variant.bundle)
    shares: list[list[list[str]]] = [[] for _ in range(min(count, len(groups)))]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(group)
    return shares


def _start(builder: Builder, plan: Plan, share: list[list[str]]) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert process.stdin is not None
    # Left open: its end tells the process that nobody waits for it any more.
    with suppress(BrokenPipeError):
        pickle.dump((builder.store, builder.places, plan, share), process.stdin)
        process.stdin.flush()
    return process


def _work() -> None:
    """What a process does: groups out of the store's plan, one after another."""
    store, places, plan, share = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_leave_with_the_other, daemon=True).start()
    for group in share:
        with suppress(EdgewrightError):
            Builder(store, places, Silent()).build(plan, group)


def _leave_with_the_other() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _memory() -> int:
    """Bytes of memory, or enough where the system doesn't say."""
    with suppress(OSError, ValueError):
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    return MOST * MEMORY


if __name__ == "__main__":
    _work()
