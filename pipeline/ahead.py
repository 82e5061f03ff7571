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
from pipeline.plan import Plan, Variant

MOST = 4
"""Processes, at most."""
MEMORY = 4 * 2**30
"""Bytes of memory for each: a converter with a small transformer took 1.5 GiB."""
WORTH_S = 60.0
"""What would take so long one after another is made side by side: each process takes ten seconds to begin."""
WATCHING_S = 0.2


def workers() -> int:
    """How many processes this machine has cores and memory for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST, cores, _memory() // MEMORY))


def build_ahead(
    builder: Builder,
    plan: Plan,
    wanted: Sequence[str],
    count: int,
    bundle_s: float,
    tick: Callable[[], None] = lambda: None,
) -> set[str]:
    """Makes those of the wanted bundles (node ids) whose networks are in the store, in `count` processes at most, where
    it is worth it; the fingerprints that were not in the store before.

    bundle_s: seconds that one takes alone; tick: called while they work. What can't be made is left for the builder,
    which says why. Killed, or gone with this process, they leave what they had finished.
    """
    missing = _missing(builder, plan, wanted)
    shares = _shares(plan, missing, count)
    if len(shares) < 2 or bundle_s * len(missing) < WORTH_S:
        return set()
    nodes = plan.needed_for([variant.bundle for variant in missing])
    made = {node.fingerprint for node in nodes if builder.store.find(node.fingerprint) is None}
    builder.note(f"{len(missing)} bundles are made side by side by {len(shares)} processes")
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with suppress(OSError):  # where there is no room for so many, the builder makes what is left
            processes += (_start() for _ in shares)
        for process, share in zip(processes, shares, strict=False):
            _tell(process, pickle.dumps((_here(), builder.store, builder.places, plan, share)))
        while any(one.poll() is None for one in processes):
            tick()
            time.sleep(WATCHING_S)
    finally:
        for one in processes:
            one.kill()
            one.communicate()
    return made


def _missing(builder: Builder, plan: Plan, wanted: Sequence[str]) -> list[Variant]:
    def there(node: str) -> bool:
        return builder.store.find(plan.nodes[node].fingerprint) is not None

    return [
        one
        for one in plan.variants
        if one.bundle in wanted and not there(one.bundle) and there(plan.nodes[one.check].inputs["network"])
    ]


def _shares(plan: Plan, missing: Sequence[Variant], count: int) -> list[list[list[str]]]:
    """For each process its groups of bundles, which have an export in common; the largest are shared out first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for variant in missing:
        groups.setdefault((plan.nodes[variant.check].inputs["network"], variant.runtime.name), []).append(
            variant.bundle
        )
    shares: list[list[list[str]]] = [[] for _ in range(min(count, len(groups)))]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(group)
    return shares


def _start() -> subprocess.Popen[bytes]:
    # From there, lest another package of the same name in the user's folder be taken for ours.
    return subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip


def _here() -> tuple[str, list[str]]:
    """The working folder, and where modules are looked for, which may be relative to it: recipes name some."""
    return str(Path.cwd()), [str(Path(one).absolute()) for one in sys.path]


def _tell(process: subprocess.Popen[bytes], work: bytes) -> None:
    """Its input stays open: the end of it tells the process that nobody waits for it any more."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(work)
        process.stdin.flush()


def _work() -> None:
    """What a process does: one group of the plan's bundles after another."""
    (folder, sys.path[:]), store, places, plan, share = pickle.load(sys.stdin.buffer)
    os.chdir(folder)
    threading.Thread(target=_leave_with_the_other, daemon=True).start()
    for group in share:
        with suppress(EdgewrightError):
            Builder(store, places, Silent()).build(plan, group)


def _leave_with_the_other() -> None:
    # Not by the buffer, whose lock a thread would hold at the interpreter's end.
    while os.read(0, 1):
        pass
    os._exit(1)


def _memory() -> int:
    """Bytes of memory that this process may have, or enough where the system doesn't say."""
    found = MOST * MEMORY
    with suppress(OSError, ValueError, AttributeError):
        found = int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return found


if __name__ == "__main__":
    _work()
