"""Which layers to measure so that every cut of a network lies between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.costs.layers import WEIGHTED, Layer, Operation, Source
from pipeline.costs.table import resolved

if TYPE_CHECKING:
    from pipeline.pruning.groups import Group

LEVELS = (0.25, 0.5, 1.0)
"""Shares of a layer's width that are measured."""


def grid(
    operations: Sequence[Operation], groups: Sequence[Group], step: int = 8, levels: Sequence[float] = LEVELS
) -> list[Layer]:
    """Layers that span all cuts of a traced network, sorted, each once.

    Widths are measured at `levels` of the full one, rounded to multiples of `step` (the chip's alignment) or of a head,
    in every combination of inputs and outputs that can be cut. Of sums, norms and the like only their size matters.
    """
    units = _units(groups)
    found: set[Layer] = set()
    plain: dict[str, list[Layer]] = {}
    for one in operations:
        layer = one.layer
        if layer.kind == "matmul":
            parts = _widths(layer.groups, units.get(one.parts), 1, levels)
            found |= {replace(layer, groups=part) for part in parts}
        elif layer.kind in WEIGHTED:
            outputs = _widths(layer.outputs, units.get(one.makes), step, levels)
            if layer.kind == "depthwise":
                times = layer.outputs // layer.inputs
                narrow = [(width // times, width) for width in outputs if width % times == 0]
                found |= {replace(layer, inputs=a, outputs=b, groups=a) for a, b in narrow}
            else:
                inputs = _widths(layer.inputs, units.get(one.reads), step, levels)
                inputs = [width for width in inputs if width % layer.groups == 0]
                outputs = [width for width in outputs if width % layer.groups == 0]
                found |= {replace(layer, inputs=a, outputs=b) for a in inputs for b in outputs}
            # The sum that joins its copies is taken off again.
            plain.setdefault("add", []).append(Layer("add", layer.elements, layer.elements))
        else:
            plain.setdefault(layer.kind, []).append(layer)
    for layers in plain.values():
        found.update(_sizes(layers))
    return sorted(found)


def points(operations: Sequence[Operation], layers: Iterable[Layer], precision: str) -> list[tuple[Layer, str]]:
    """What to measure for a network of `operations` in a precision: the layers of `grid`, each in what it computes in.

    The sums around linear layers are floats, so they are among them too.
    """
    attention = [one.layer for one in operations if one.layer.kind == "matmul"][:1]
    asked = list(layers)
    wanted = dict.fromkeys(resolved([*asked, *attention], precision)[: len(asked)])
    if any(layer.kind == "linear" for layer in asked):
        wanted |= dict.fromkeys((layer, "float32") for layer in asked if layer.kind == "add")
    return list(wanted)


def _units(groups: Sequence[Group]) -> dict[Source | None, int]:
    """By axis that can be cut: positions of one unit."""
    found: dict[Source | None, int] = {}
    for group in groups:
        for axis in group.axes:
            found[Source(axis.tensor, axis.axis)] = max(1, sum(map(len, axis.indices)) // group.units)
    return found


def _widths(full: int, unit: int | None, step: int, levels: Sequence[float]) -> list[int]:
    if unit is None:
        return [full]
    least = step if unit < step else unit
    return sorted({full, *(min(full, max(least, round(full * level / least) * least)) for level in levels)})


def _sizes(layers: Sequence[Layer]) -> set[Layer]:
    """The largest of a kind, the smallest, one between, and a quarter of the smallest."""
    ordered = sorted(layers, key=lambda one: (one.elements, one))
    low, high = ordered[0], ordered[-1]
    middle = math.sqrt(low.elements * high.elements)
    between = min(ordered, key=lambda one: (abs(math.log(one.elements / middle)), one))
    if low.groups > 1:  # of a softmax: heads go
        quarter = replace(low, groups=max(1, low.groups // 4))
    elif low.kind in ("norm", "softmax"):
        quarter = low
    else:
        quarter = replace(low, inputs=max(1, low.inputs // 4), outputs=max(1, low.outputs // 4))
    return {low, between, high, quarter}
