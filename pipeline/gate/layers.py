"""A layer by what its time depends on: its kind, channels, kernel, stride and input size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["convolution", "depthwise", "linear", "sum"]
PICTURE = 3
"""Channels of a picture."""


@dataclass(frozen=True)
class Layer:
    """One layer, or an element-wise sum of two tensors ("sum"). height, width: of its input; for "linear" the rows of
    its input and 1. A depthwise layer has as many outputs as inputs."""

    kind: Kind
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    height: int = 1
    width: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one pass."""
        if self.kind == "sum":
            return 0
        positions = -(-self.height // self.stride) * -(-self.width // self.stride)
        return positions * self.outputs * self.kernel[0] * self.kernel[1] * (1 if self._apart else self.inputs)

    @property
    def _apart(self) -> bool:
        return self.kind == "depthwise"

    @property
    def repeatable(self) -> bool:
        """Whether its output can be the input of another one like it."""
        return self.inputs == self.outputs and self.stride == 1

    def off(self, alignment: int) -> bool:
        """Whether its channels are no multiple of `alignment`; an input of up to PICTURE channels can't be helped."""
        return bool(self.outputs % alignment or (self.inputs > PICTURE and self.inputs % alignment))

    def aligned(self, alignment: int) -> Layer:
        """The same layer with its channels at the next multiple of `alignment`."""
        wide = -(-self.outputs // alignment) * alignment
        inputs = -(-self.inputs // alignment) * alignment if self.inputs > PICTURE else self.inputs
        return replace(self, inputs=wide if self._apart else inputs, outputs=wide)

    def __str__(self) -> str:
        at = "" if self.kind == "linear" else f" at {self.height}x{self.width}"
        kernel = f"{self.kernel[0]}x{self.kernel[1]} " if self.kind in ("convolution", "depthwise") else ""
        stride = f" by stride {self.stride}" if self.stride > 1 else ""
        named = {"linear": "linear layer", "depthwise": "depthwise convolution"}.get(self.kind, self.kind)
        return f"{kernel}{named} of {self.inputs} to {self.outputs} channels{at}{stride}"
