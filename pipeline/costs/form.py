"""How one layer is written down to be timed: in what precision, and how often, so that noise does not swamp it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.costs.layers import Layer

Ports = dict[str, list[dict[str, Any]]]
"""`inputs` and `outputs` of a file, each as device_agents.bundle.Tensor has them."""

INPUT_SCALE, WEIGHT_SCALE = 0.05, 0.01
"""Of quantised numbers; which ones takes no time, but a runtime may look for impossible ones."""

_MOST_COPIES, _FEWEST = 10, 2
_MACS = 4_000_000
"""Of all copies together: about a millisecond on a small board's core."""
_NUMBERS = 400_000
"""Weights and activations of all copies together, so that the file stays small."""


@dataclass(frozen=True)
class Form:
    """precision: float32, int8 or dynamic; copies: how often the layer stands in the graph.

    The rest is of INT8, as targets.schema.Int8 has it.
    """

    precision: str = "float32"
    copies: int = 1
    activations: str = "uint8"
    per_channel: bool = True
    symmetric: bool = False


def joins(layer: Layer) -> bool:
    """Whether its copies stand side by side and are added up (weighted layers), or one behind the other."""
    return layer.kind in ("conv", "depthwise", "linear")


def copies_of(layer: Layer) -> int:
    """How often a layer is written: often where it is small, twice at least; even, for a chain of products."""
    weights = layer.macs // max(1, layer.elements // layer.outputs) if joins(layer) else 0
    by_work = _MACS // max(1, layer.macs)
    by_size = _NUMBERS // max(1, weights + layer.elements)
    return max(_FEWEST, min(_MOST_COPIES, by_work, by_size) // 2 * 2)
