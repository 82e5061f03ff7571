"""A network as the layers that a runtime runs, as it is or as it would be after any cut, without cutting it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.groups import Group

Kind = Literal["conv", "depthwise", "linear", "matmul", "add", "pool", "softmax", "norm", "gelu", "sigmoid"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WEIGHTED = ("conv", "depthwise", "linear")


@dataclass(frozen=True, order=True)
class Layer:
    """One layer by what its time depends on, for a batch of 1.

    conv, depthwise: channels read and made, `size` the height and width of what it makes (or the length alone).
    linear: features read and made, `size` how many rows of them. matmul, of two activations: `groups` products of
    [size, inputs] and [inputs, outputs]. softmax, norm: over each of `size` rows of `outputs` numbers, of a softmax in
    each of `groups` heads. pool: a mean over `size` positions of each channel. add, gelu, sigmoid: of `outputs` numbers
    each; add stands for whatever passes over memory once, sigmoid for any smooth function that is no GELU.
    """

    kind: Kind
    inputs: int
    outputs: int
    size: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one pass; 0 of what multiplies no weights or matrices."""
        if self.kind == "matmul":
            return self.groups * math.prod(self.size) * self.inputs * self.outputs
        if self.kind not in WEIGHTED:
            return 0
        return math.prod(self.size) * math.prod(self.kernel) * self.inputs * self.outputs // self.groups

    @property
    def elements(self) -> int:
        """Numbers that it makes; of a pool, those that it reads."""
        return self.outputs * math.prod(self.size) * (self.groups if self.kind in ("matmul", "softmax") else 1)

    @property
    def label(self) -> str:
        """As a person says it: "conv 16>32 3x3/2 at 7x7"."""
        parts = [f"{self.kind} {self.inputs}>{self.outputs}", *(f"{name}{_times(value)}" for name, value in (
            ("", self.kernel), ("/", self.stride), ("at ", self.size)
        ) if value)]  # fmt: skip
        return " ".join([*parts, *([f"in {self.groups}"] if self.groups > 1 else [])])

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"kind": self.kind, "inputs": self.inputs, "outputs": self.outputs}
        told |= {name: list(getattr(self, name)) for name in ("size", "kernel", "stride") if getattr(self, name)}
        return told | ({"groups": self.groups} if self.groups != 1 else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Layer:
        """Raises KeyError, TypeError or ValueError where `content` is none of to_json's."""
        if content["kind"] not in KINDS:
            raise ValueError(f"unknown kind {content['kind']!r}")
        size, kernel, stride = (tuple(map(int, content.get(name, ()))) for name in ("size", "kernel", "stride"))
        inputs, outputs, groups = int(content["inputs"]), int(content["outputs"]), int(content.get("groups", 1))
        if min(inputs, outputs, groups, *size, *kernel, *stride) < 1:
            raise ValueError("a width or size is less than 1")
        return cls(content["kind"], inputs, outputs, size, kernel, stride, groups)


def _times(values: Sequence[int]) -> str:
    return "x".join(map(str, values))


@dataclass(frozen=True)
class Source:
    """Positions of a tensor's axis that became channels of the data."""

    tensor: str
    axis: int


@dataclass(frozen=True)
class Operation:
    """One layer as it ran. module: that ran it; reads, makes, parts: where its inputs, outputs and groups come from."""

    layer: Layer
    module: str
    reads: Source | None = None
    makes: Source | None = None
    parts: Source | None = None


def layers_of(network: nn.Module, example: Tensor | tuple[Tensor, ...]) -> list[Layer]:
    """Every layer of one pass over `example` (a batch of 1), in the order in which they run.

    Batch norms behind a layer, and activations that runtimes fuse with it, are part of it; views cost nothing.
    """
    from pipeline.costs.tracing import trace

    return [one.layer for one in trace(network, example)]


def layers_after(
    operations: Iterable[Operation],
    groups: Sequence[Group],
    kept: Mapping[str, int] | None = None,
    removed: Collection[str] = (),
) -> list[Layer]:
    """The layers that are left of a traced network (tracing.trace) once it is cut, as layers_of would find them.

    kept: group (of find_structure) > units that stay, others stay whole; removed: modules that only pass on what they
    are given. Exact for channels, heads and neurons; of weights that are computed from others (weight norm), and of
    data in which tokens are cut, the old widths are told, and of concatenations a sum by the first part's share.
    """
    shares = _shares(groups, kept or {})
    gone = tuple(f"{name}." for name in removed)
    left = []
    for one in operations:
        if f"{one.module}.".startswith(gone):
            continue
        layer = one.layer
        if shares:
            inputs = _scaled(layer.inputs, one.reads, shares)
            outputs = _scaled(layer.outputs, one.makes, shares)
            parts = _scaled(layer.groups, one.parts, shares)
            layer = replace(layer, inputs=inputs, outputs=outputs, groups=parts)
        left.append(layer)
    return left


def _shares(groups: Sequence[Group], kept: Mapping[str, int]) -> dict[Source, Fraction]:
    """The share of each axis that is left, where it is not all of it. Two groups may meet in one axis."""
    shares: dict[Source, Fraction] = {}
    for group in groups:
        gone = group.units - kept.get(group.name, group.units)
        if not gone:
            continue
        for axis in group.axes:
            source = Source(axis.tensor, axis.axis)
            positions = Fraction(sum(map(len, axis.indices)) * gone, group.units)
            shares[source] = shares.get(source, Fraction(1)) - positions / axis.size
    return shares


def _scaled(number: int, source: Source | None, shares: Mapping[Source, Fraction]) -> int:
    return number if source is None or source not in shares else max(1, round(number * shares[source]))
