"""Proves an ONNX file, or the same model in onnxruntime's own format, against its network on real inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.steps.base import Input
from pipeline.steps.checking import CheckStep
from pipeline.steps.export import NAMED

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[Any]


class Check(CheckStep):
    """CheckStep for files that onnxruntime loads."""

    name: ClassVar[str] = "check"
    libraries: ClassVar[tuple[str, ...]] = (*CheckStep.libraries, "onnx", "onnxruntime")

    def outputs(self, made: Input, x: Array) -> Array:
        from pipeline.export.compare import run_file

        return run_file(made.path(made.summary["file"]).read_bytes(), x)

    def float_drift(self, net: nn.Module, exported: Input, x: Array, bound: float) -> str:
        from pipeline.export.compare import torch_drift

        return torch_drift(net, _named(exported), x, bound)

    def quantised_drift(self, inputs: Mapping[str, Input], x: Array) -> str:
        from pipeline.export.compare import int8_drift

        return int8_drift(_named(inputs["float"]), _named(inputs["quantised"]), x)

    def exact(self, made: Input) -> bool:
        from pipeline.export.integers import in_integers

        return in_integers(_named(made))

    def output_scale(self, made: Input) -> float | None:
        from pipeline.export.integers import output_scale

        return output_scale(_named(made))


def _named(made: Input) -> onnx.ModelProto:
    import onnx

    return onnx.load_from_string(made.path(NAMED).read_bytes())
