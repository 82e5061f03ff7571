"""Proves a TensorFlow Lite file against its network on real inputs, in LiteRT's interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.export import tflite_compare
from pipeline.export.tflite_run import run_tflite
from pipeline.steps.base import Input
from pipeline.steps.checking import CheckStep
from pipeline.steps.tflite_export import MODEL, NAMED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[Any]


class TfliteCheck(CheckStep):
    """CheckStep for files that LiteRT and tflite-runtime load."""

    name: ClassVar[str] = "tflite_check"
    extra: ClassVar[str | None] = "tflite"
    libraries: ClassVar[tuple[str, ...]] = (*CheckStep.libraries, "ai-edge-litert", "flatbuffers")
    file: ClassVar[str] = MODEL

    def outputs(self, made: Input, x: Array) -> Array:
        return run_tflite(made.path(self.file).read_bytes(), x)

    def float_drift(self, net: nn.Module, exported: Input, x: Array, bound: float) -> str:
        return tflite_compare.float_drift(net, exported.path(NAMED).read_bytes(), x, bound)

    def quantised_drift(self, inputs: Mapping[str, Input], x: Array) -> str:
        float_, quantised = (inputs[role].path(NAMED).read_bytes() for role in ("float", "quantised"))
        return tflite_compare.quantised_drift(float_, quantised, x)

    def exact(self, made: Input) -> bool:
        return tflite_compare.in_integers(made.path(self.file).read_bytes())

    def output_scale(self, made: Input) -> float | None:
        return tflite_compare.output_scale(made.path(self.file).read_bytes())
