"""A process that loads one model and does what the session asks, a JSON line at a time; idle, it blocks on stdin."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from typing import Any, BinaryIO, Callable, Dict

from . import accuracy, cpus, installed, memory, timing, trust
from .feeds import Fed, fixed_batch
from .lines import Lines
from .runtimes import Model, Runtime, open_runtime
from .samples import Samples

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent dies. Where that can't be asked, EOF on stdin must do."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
    if parent and os.getppid() != parent:  # it died before we asked
        os._exit(1)


class Worker:
    """Holds the loaded model between requests. Each method takes a request and returns the reply's fields."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._runtime = Runtime()
        self._call: Callable[[], object] = lambda: None
        self._batch = 0

    def load(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Pins itself, imports the runtime, loads the model and runs it once; a model that isn't trusted is not loaded.

        Raises trust.BundleNotTrusted.
        """
        die_with(request.get("parent", 0))
        trust.check_model(self._root, request["model"])
        pinned = cpus.pin(request["cpus"])
        installed.use(request["runtime_folder"])
        self._runtime = Fed(open_runtime(request["runtime"]))
        versions = self._runtime.versions()
        memory.reset_peak()
        base = memory.peak_bytes()
        began = time.perf_counter_ns()
        self._runtime.load(_model(request))
        loaded = time.perf_counter_ns()
        self._call = self._runtime.caller(self._example(request.get("data") or ""))
        ready = time.perf_counter_ns()
        self._call()
        first = time.perf_counter_ns() - ready
        return {
            "load_ns": loaded - began,
            "first_ns": first,
            "providers": self._runtime.providers(),
            "versions": versions,
            "pinned": pinned,
            "base_bytes": base,
        }

    def warm(self, request: Dict[str, Any]) -> Dict[str, Any]:
        return timing.warm_up(self._call, request["runs"], request["seconds"])

    def block(self, request: Dict[str, Any]) -> Dict[str, Any]:
        began = time.process_time_ns()
        if not self._batch:
            self._batch = timing.batch_for(self._call, timing.timer_resolution_ns())
        found = timing.block(
            self._call,
            batch=self._batch,
            least=request["least"],
            seconds=request["seconds"],
            most_seconds=request["most_seconds"],
        )
        # All that this process took of the core since it was asked, so that the rest is others'.
        return dict(found, cpu_ns=time.process_time_ns() - began)

    def work(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Inferences one after the other for `seconds`, untimed: what they take is measured from outside."""
        return {"calls": timing.repeat(self._call, request["seconds"])}

    def memory(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Peak of this process since the runtime was imported: the model's load and `runs` inferences."""
        for _ in range(request["runs"]):
            self._call()
        return {"peak_bytes": memory.peak_bytes()}

    def accuracy(self, request: Dict[str, Any]) -> Dict[str, Any]:
        return accuracy.measure(
            self._runtime,
            request["data"],
            request["batch"],
            request.get("save") or "",
            request.get("most"),
            request.get("keep"),
        )

    def _example(self, path: str) -> Dict[str, Any]:
        """What is timed: the first evaluation sample, or seeded noise; as many as the model's fixed batch, else one."""
        import numpy

        if path:
            with open(path, "rb") as source:
                arrays = Samples(source, [wanted.name for wanted in self._runtime.inputs()]).first()
            if any(len(array) == 0 for array in arrays.values()):
                raise ValueError("the evaluation file holds no sample")
            return accuracy.cast(accuracy.filled(arrays, fixed_batch(self._runtime) or 1), self._runtime)
        seeded = numpy.random.default_rng(0)
        made = {}
        for wanted in self._runtime.inputs():
            shape = [size or 1 for size in wanted.shape]
            noise = seeded.standard_normal(shape)
            # Integers are token numbers as a rule: 0 and 1 are in every vocabulary.
            made[wanted.name] = (noise if "float" in wanted.dtype else noise > 0).astype(wanted.dtype)
        return made


def _model(request: Dict[str, Any]) -> Model:
    return Model(
        path=request["model"],
        threads=request["threads"],
        precision=request["precision"],
        inputs=tuple(request["inputs"]),
        outputs=tuple(request["outputs"]),
        providers=tuple(request["providers"]),
        options=request["options"],
        engines=request["engines"],
        board=request["board"],
    )


def serve(root: str, requests: BinaryIO, out: Lines) -> int:
    """Answers requests {"do": ..., ...} with {"kind": "reply", ...} or {"kind": "failed", "message": ...} until EOF."""
    worker = Worker(root)
    does = {name: getattr(worker, name) for name in ("load", "warm", "block", "work", "memory", "accuracy")}
    for line in iter(requests.readline, b""):
        request = json.loads(line.decode())
        try:
            out.write("reply", **does[request["do"]](request))
        except trust.BundleNotTrusted as refused:
            out.write("failed", message="%s: %s" % (trust.REFUSED, refused))
        except MemoryError:
            out.write("failed", message="the device's memory did not suffice")
        except Exception as error:  # a runtime may raise anything; the session says which variant it was
            traceback.print_exc()
            text = " ".join(str(error).split())
            out.write("failed", message=("%s: %s" % (type(error).__name__, text))[:2000])
    return 0
