"""Proves a TorchScript file or a torch.export program against its network on real inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.steps.base import Input
from pipeline.steps.checking import CheckStep

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[Any]


class TorchCheck(CheckStep):
    """CheckStep for files of torch's own; there is none in INT8."""

    name: ClassVar[str] = "torch_check"

    def outputs(self, made: Input, x: Array) -> Array:
        from pipeline.export.torch_file import run_torch

        return run_torch(*_file(made), x)

    def float_drift(self, net: nn.Module, exported: Input, x: Array, bound: float) -> str:
        from pipeline.export.torch_file import torch_file_drift

        return torch_file_drift(net, *_file(exported), x, bound)


def _file(made: Input) -> tuple[bytes, str]:
    """Bytes and format."""
    name = made.summary["file"]
    return made.path(name).read_bytes(), "pt2" if name.endswith(".pt2") else "torchscript"
