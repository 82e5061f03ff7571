"""The race: fresh processes of all variants, timed in interleaved blocks, each of them between two canaries."""

from __future__ import annotations

import time
from typing import Any, Dict, List

from . import cpus
from .canary import BOUND, CALIBRATION, Usual, canary_ns
from .crew import Crew, Variant
from .handle import Failed, Handle

MOST_AGAIN = 3
"""How often a block is done again because the device got slower beside it."""
_PAUSE_S = 0.1
HELD = 0.3
"""A block is spoilt too where its cores stood idle for more than this share of it: the kernel's clock for others' work
ticks every 10 ms, so less may be no more than its grain."""
_CPU = {"CPUExecutionProvider", "XNNPACK", "CPU"}
# After this many blocks in a row that stayed slow however often they were done, the device has changed for good: what
# is measured then is told as it is.
LASTING = 4


class Race:
    """All rounds of one job. `run` may be called for as many processes as the host wants."""

    def __init__(self, crew: Crew, sysroot: str) -> None:
        self._crew = crew
        self._sysroot = sysroot
        self._home = cpus.allowed()
        self._usual = Usual()
        self._spoilt = 0
        # By variant, whether all of it runs on the CPU: who waits for a GPU leaves a core idle and isn't held back.
        self._on_cpu: Dict[str, bool] = {}
        # What the last canary took, over the usual.
        self._last = 1.0

    def calibrate(self) -> int:
        """What the canary usually takes here, in nanoseconds, by a dozen goes before anything else runs."""
        for _ in range(CALIBRATION):
            self._usual.add(self._reading())
        return self._usual.ns

    def run(self, process: int) -> None:
        """One fresh process per variant, then blocks in the order ABC CBA ABC ... so that drift hits all alike."""
        job = self._crew.job
        handles: Dict[str, Handle] = {}
        try:
            # In turn from either end: who is loaded first may find other memory free.
            for variant in self._turn(process, process):
                handles[variant.name] = handle = self._crew.open()
                self._start(handle, variant, process)
            for number in range(job["blocks"]):
                self._canary(process, number, "before")
                for position, variant in enumerate(self._turn(process, number)):
                    self._block(handles[variant.name], variant, process, number, position)
                self._canary(process, number, "after")
        finally:
            for handle in handles.values():
                handle.close()

    def _turn(self, process: int, number: int) -> List[Variant]:
        order = self._crew.racing(process)
        return order if number % 2 == 0 else order[::-1]

    def _start(self, handle: Handle, variant: Variant, process: int) -> None:
        job = self._crew.job
        try:
            loaded = self._crew.load(handle, variant)
            warmed = handle.ask("warm", runs=job["warmup_runs"], seconds=job["warmup_seconds"])
        except Failed as failed:
            self._crew.failed(variant, str(failed))
            return
        self._on_cpu[variant.name] = set(loaded["providers"]) <= _CPU
        self._crew.out.write("loaded", name=variant.name, process=process, **loaded)
        self._crew.out.write("warmed", name=variant.name, process=process, **warmed)

    def _block(self, handle: Handle, variant: Variant, process: int, number: int, position: int) -> None:
        """One block, done again while the canary says that the device got slower before, in or after it."""
        for attempt in range(MOST_AGAIN + 1):
            before = self._calm()
            try:
                found = self._timed(handle, variant)
            except Failed as failed:
                self._crew.failed(variant, str(failed))
                return
            ratio = max(before, self._read())
            over = ratio > BOUND or (found["held"] or 0.0) > HELD
            kept = not over or attempt == MOST_AGAIN or self._spoilt >= LASTING or not self._in_time()
            self._crew.out.write(
                "block",
                name=variant.name,
                process=process,
                round=number,
                position=position,
                attempt=attempt,
                canary_ratio=round(ratio, 4),
                kept=kept,
                **found,
            )
            if kept:
                self._spoilt = self._spoilt + 1 if over else 0
                return

    def _timed(self, handle: Handle, variant: Variant) -> Dict[str, Any]:
        """The worker's block, and what else took the measured cores meanwhile. Raises Failed.

        held: share of the block in which its core stood idle, though the worker had work for it: a CPU quota, say.
        """
        job = self._crew.job
        before = cpus.busy_ticks(self._sysroot)
        began = time.monotonic_ns()
        found = handle.ask(
            "block", least=job["samples"], seconds=job["block_seconds"], most_seconds=job["block_limit_seconds"]
        )
        spent = time.monotonic_ns() - began
        used = cpus.used_ns(before, cpus.busy_ticks(self._sysroot), self._crew.cpus)
        own = found["cpu_ns"]
        # Signed on purpose: one block's figure is off by a tick either way, the sum over a job is not.
        others = None if used is None else used - own
        held = None
        if others is not None and job["threads"] == 1 and self._on_cpu.get(variant.name):
            held = round(min(max(1 - (own + max(others, 0)) / spent, 0.0), 1.0), 4)
        return dict(found, others_ns=others, watched_ns=spent * len(self._crew.cpus), held=held)

    def _in_time(self) -> bool:
        """Whether there is time to do blocks again: half of the job's is for what must be done once."""
        return time.monotonic() < self._crew.deadline - self._crew.job["time_limit_s"] / 2

    def _calm(self) -> float:
        """Waits a moment for the canary to be as usual; what it took at last, over the usual."""
        ratio = self._last
        for again in range(MOST_AGAIN if self._spoilt < LASTING and self._in_time() else 0):
            if ratio <= BOUND:
                break
            time.sleep(_PAUSE_S * (again + 1))
            ratio = self._read()
        return ratio

    def _read(self) -> float:
        self._last = self._usual.add(self._reading())
        return self._last

    def _reading(self) -> int:
        # Affinity belongs to the thread: workers were started before, and are pinned by themselves anyway.
        pinned = cpus.pin(self._crew.cpus)
        took = canary_ns()
        if pinned:
            cpus.pin(self._home)
        return took

    def _canary(self, process: int, number: int, when: str) -> None:
        took = self._reading()
        self._last = self._usual.add(took)
        self._crew.out.write("canary", process=process, round=number, when=when, ns=took)
