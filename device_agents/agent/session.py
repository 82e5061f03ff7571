"""One job from its first line to its closing marker: lock, state, rounds of interleaved blocks, memory, accuracy."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Dict, List, Optional

from . import __version__, cpus, trtexec
from .bundle import Refused, read_bundle
from .canary import canary_ns
from .handle import Failed, Handle, kill_all
from .host import Host
from .lines import Lines
from .lock import Busy, Lock
from .power import Sampler
from .probe import facts, state
from .runtimes.tensorrt import TENSORRT

# How long nothing runs, where power can be told, to know what the board takes without us.
_IDLE_S = 2.0
_SECOND_S = 300.0
_ENERGY_SECTIONS = 3
_ENERGY_S = 1.0


def run(root: str, sysroot: str, out: Lines) -> int:
    """Reads the job, holds the lock for as long as it takes, writes events; the exit status is 0 where it was run."""
    line = sys.stdin.buffer.readline()
    try:
        job = json.loads(line.decode())
    except ValueError:
        out.end(False, error="job", message="the first line on stdin is no job")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    Host(sys.stdin.fileno(), out, float(job.get("silence_s", 60.0)), kill_all).watch()
    who = dict(job.get("holder") or {}, pid=os.getpid(), since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    try:
        with Lock(root, who, float(job.get("wait_s", 0.0))):
            _Session(job, root, sysroot, out).run()
    except Busy as busy:
        out.end(False, error="busy", holder=busy.holder)
        return 3
    finally:
        kill_all()
    out.end(True)
    return 0


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


class _Variant:
    """What the session knows of one variant: its request to load, and whether it is still in the race."""

    def __init__(self, given: Dict[str, Any]) -> None:
        self.given = given
        self.name: str = given["name"]
        self.path = ""
        self.manifest: Dict[str, Any] = {}
        self.error: Optional[str] = None


class _Session:
    def __init__(self, job: Dict[str, Any], root: str, sysroot: str, out: Lines) -> None:
        self._job = job
        self._root = root
        self._sysroot = sysroot
        self._out = out
        self._deadline = time.monotonic() + job["time_limit_s"]
        self._cpus: List[int] = []
        self._home = cpus.allowed()
        self._facts: Dict[str, Any] = {}
        self._power: Optional[Sampler] = None
        self._variants = [_Variant(given) for given in job["variants"]]

    def run(self) -> None:
        """Every pass in turn. A variant that fails leaves the race and is named; the others go on."""
        job = self._job
        before = state(self._sysroot, self._root)
        wanted = job["cpus"]
        self._cpus = cpus.choose(job["threads"], self._sysroot) if wanted == "auto" else list(wanted)
        self._facts = facts(self._sysroot)
        self._power = Sampler(self._sysroot, avoid=self._cpus)
        self._out.write(
            "start",
            agent=__version__,
            facts=self._facts,
            state=before,
            cpus=self._cpus,
            idle_mw=self._power.idle(_IDLE_S) if self._power.available else None,
            steps=len(self._variants) * (job["processes"] * job["blocks"] + (2 if job["processes"] else 1)),
        )
        for variant in self._variants:
            try:
                variant.path, variant.manifest = read_bundle(variant.given)
            except Refused as refused:
                self._failed(variant, str(refused))
        for process in range(job["processes"]):
            self._race(process)
        # Without a race nothing of a cost is measured: answers are all that is asked for.
        for variant in self._live() if job["processes"] else ():
            self._memory(variant)
        for variant in self._live():
            self._accuracy(variant)
        # Last: it takes the whole GPU, and builds an engine of its own first.
        for variant in self._live() if job["processes"] else ():
            self._second_opinion(variant)
        self._out.write("state", state=state(self._sysroot, self._root))

    def _live(self) -> List[_Variant]:
        return [variant for variant in self._variants if variant.error is None]

    def _failed(self, variant: _Variant, message: str) -> None:
        variant.error = message
        self._out.write("failed", name=variant.name, message=message)

    def _open(self, variant: _Variant) -> Handle:
        return Handle(self._deadline, self._job.get("memory_limit_bytes"))

    def _load(self, handle: Handle, variant: _Variant) -> Dict[str, Any]:
        given = variant.given
        return handle.ask(
            "load",
            model=variant.path,
            runtime=given["runtime"],
            runtime_folder=given["runtime_folder"],
            precision=given.get("precision") or "float32",
            providers=given.get("providers") or [],
            options=given.get("options") or {},
            inputs=variant.manifest.get("inputs") or [],
            outputs=variant.manifest.get("outputs") or [],
            engines=os.path.join(self._root, "engines"),
            board=self._facts.get("board") or self._facts.get("machine") or "",
            threads=self._job["threads"],
            cpus=self._cpus,
            data=self._job.get("evaluation") or "",
        )

    def _race(self, process: int) -> None:
        """One fresh process per variant, then blocks in the order ABC CBA ABC ... so that drift hits all alike."""
        job = self._job
        handles: Dict[str, Handle] = {}
        try:
            for variant in self._live():
                handles[variant.name] = handle = self._open(variant)
                try:
                    loaded = self._load(handle, variant)
                    handle.ask("warm", runs=job["warmup_runs"], seconds=job["warmup_seconds"])
                except Failed as failed:
                    self._failed(variant, str(failed))
                    continue
                self._out.write("loaded", name=variant.name, process=process, **loaded)
            for number in range(job["blocks"]):
                self._canary(process, number, "before")
                order = self._live() if number % 2 == 0 else self._live()[::-1]
                for position, variant in enumerate(order):
                    self._block(handles[variant.name], variant, process, number, position)
                self._canary(process, number, "after")
        finally:
            for handle in handles.values():
                handle.close()

    def _block(self, handle: Handle, variant: _Variant, process: int, number: int, position: int) -> None:
        job = self._job
        before = cpus.busy_ticks(self._sysroot)
        began = time.monotonic_ns()
        try:
            found = handle.ask(
                "block", least=job["samples"], seconds=job["block_seconds"], most_seconds=job["block_limit_seconds"]
            )
        except Failed as failed:
            self._failed(variant, str(failed))
            return
        spent = time.monotonic_ns() - began
        used = cpus.used_ns(before, cpus.busy_ticks(self._sysroot), self._cpus)
        own = found.pop("cpu_ns")
        # Signed on purpose: one block's figure is off by a tick either way, the sum over a job is not.
        others = None if used is None else used - own
        self._out.write(
            "block",
            name=variant.name,
            process=process,
            round=number,
            position=position,
            others_ns=others,
            watched_ns=spent * len(self._cpus),
            **found,
        )

    def _second_opinion(self, variant: _Variant) -> None:
        """What trtexec says of a file that TensorRT shall run."""
        wished = variant.given.get("providers") or []
        if wished[:1] != [TENSORRT] or not variant.path.endswith(".onnx"):
            return
        precision = variant.given.get("precision") or "float32"
        told = (variant.given.get("options") or {}).get(TENSORRT, {})
        left = min(_SECOND_S, self._deadline - time.monotonic())
        found = trtexec.run(variant.path, precision, left, bool(told.get("trt_sparsity_enable")))
        if found is not None:
            self._out.write("second_opinion", name=variant.name, second_opinion=found)

    def _canary(self, process: int, number: int, when: str) -> None:
        # Affinity belongs to the thread: workers were started before, and are pinned by themselves anyway.
        pinned = cpus.pin(self._cpus)
        took = canary_ns()
        if pinned:
            cpus.pin(self._home)
        self._out.write("canary", process=process, round=number, when=when, ns=took)

    def _memory(self, variant: _Variant) -> None:
        handle = self._open(variant)
        try:
            base = self._load(handle, variant)["base_bytes"]
            peak = handle.ask("memory", runs=5)["peak_bytes"]
            self._out.write("memory", name=variant.name, peak_bytes=peak, base_bytes=base)
            self._energy(handle, variant)
        except Failed as failed:
            self._failed(variant, str(failed))
        finally:
            handle.close()

    def _energy(self, handle: Handle, variant: _Variant) -> None:
        """Sections of their own, for a block is too short for sensors that are read ten times a second."""
        if self._power is None or not self._power.available:
            return
        handle.ask("warm", runs=self._job["warmup_runs"], seconds=self._job["warmup_seconds"])
        for _ in range(_ENERGY_SECTIONS):
            self._power.start()
            try:
                calls = handle.ask("work", seconds=_ENERGY_S)["calls"]
            finally:
                energy = self._power.stop()
            self._out.write("energy", name=variant.name, energy=energy, calls=calls)

    def _accuracy(self, variant: _Variant) -> None:
        job = self._job
        if not job.get("evaluation"):
            return
        handle = self._open(variant)
        try:
            loaded = self._load(handle, variant)
            if not job["processes"]:
                self._out.write("loaded", name=variant.name, process=0, **loaded)
            found = handle.ask(
                "accuracy",
                data=job["evaluation"],
                batch=job["evaluation_batch"],
                most=job.get("evaluation_samples"),
                keep=job.get("saved_samples"),
                save=variant.given.get("save_outputs") or "",
            )
            self._out.write("accuracy", name=variant.name, accuracy=found)
        except Failed as failed:
            self._failed(variant, str(failed))
        finally:
            handle.close()
