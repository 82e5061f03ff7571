"""What is measured apart from time, each in a fresh process of its own: memory, energy, accuracy, trtexec's word."""

from __future__ import annotations

import time
from typing import Optional

from . import trtexec
from .crew import Crew, Variant
from .handle import Failed, Handle
from .power import Sampler
from .runtimes.tensorrt import TENSORRT

_SECOND_S = 300.0
_ENERGY_SECTIONS = 3
_ENERGY_S = 1.0


class Passes:
    """The passes after a race. A variant that fails in one leaves the next ones."""

    def __init__(self, crew: Crew, power: Optional[Sampler]) -> None:
        self._crew = crew
        self._power = power

    def cost(self, variant: Variant) -> None:
        """Peak memory, as often as the job asks, and energy where a sensor tells it."""
        passes = int(self._crew.job.get("memory_passes") or 1)
        for _ in range(passes):
            handle = self._crew.open()
            try:
                base = self._crew.load(handle, variant)["base_bytes"]
                peak = handle.ask("memory", runs=5)["peak_bytes"]
                self._crew.out.write("memory", name=variant.name, peak_bytes=peak, base_bytes=base)
                self._energy(handle, variant, -(-_ENERGY_SECTIONS // passes))
            except Failed as failed:
                self._crew.failed(variant, str(failed))
                return
            finally:
                handle.close()

    def _energy(self, handle: Handle, variant: Variant, sections: int) -> None:
        """Sections of their own, for a block is too short for sensors that are read ten times a second."""
        if self._power is None or not self._power.available:
            return
        job = self._crew.job
        handle.ask("warm", runs=job["warmup_runs"], seconds=job["warmup_seconds"])
        for _ in range(sections):
            self._power.start()
            try:
                calls = handle.ask("work", seconds=_ENERGY_S)["calls"]
            finally:
                energy = self._power.stop()
            self._crew.out.write("energy", name=variant.name, energy=energy, calls=calls)

    def accuracy(self, variant: Variant) -> None:
        """The metric over the evaluation file, and the outputs where they are asked for."""
        job = self._crew.job
        if not job.get("evaluation"):
            return
        handle = self._crew.open()
        try:
            loaded = self._crew.load(handle, variant)
            if not job["processes"]:
                self._crew.out.write("loaded", name=variant.name, process=0, **loaded)
            found = handle.ask(
                "accuracy",
                data=job["evaluation"],
                batch=job["evaluation_batch"],
                most=job.get("evaluation_samples"),
                keep=job.get("saved_samples"),
                save=variant.given.get("save_outputs") or "",
            )
            self._crew.out.write("accuracy", name=variant.name, accuracy=found)
        except Failed as failed:
            self._crew.failed(variant, str(failed))
        finally:
            handle.close()

    def second_opinion(self, variant: Variant) -> None:
        """What trtexec says of a file that TensorRT shall run."""
        wished = variant.given.get("providers") or []
        if wished[:1] != [TENSORRT] or not variant.path.endswith(".onnx"):
            return
        precision = variant.given.get("precision") or "float32"
        told = (variant.given.get("options") or {}).get(TENSORRT, {})
        left = min(_SECOND_S, self._crew.deadline - time.monotonic())
        found = trtexec.run(variant.path, precision, left, bool(told.get("trt_sparsity_enable")))
        if found is not None:
            self._crew.out.write("second_opinion", name=variant.name, second_opinion=found)
