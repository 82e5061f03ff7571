"""Tables of costs by a formula, so that what a prediction must say is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.costs.form import copies_of, joins
from pipeline.costs.layers import Layer
from pipeline.costs.table import CostTable, Entry

EMPTY_MS = 0.01
ADD_MS = 1e-6


def by_formula(layer: Layer) -> float:
    """Milliseconds of a layer alone: a bit for each operator, some for each multiply-accumulate."""
    return ADD_MS * layer.elements if layer.kind == "add" else 0.002 + 1e-7 * layer.macs


def entry(layer: Layer, precision: str = "float32", ms: Callable[[Layer], float] = by_formula) -> Entry:
    """What a device on which that holds would have measured for the graph of a layer's copies."""
    copies = copies_of(layer)
    sums = copies - 1 if joins(layer) else copies if layer.kind == "pool" else 0
    return Entry(layer, precision, copies, EMPTY_MS + copies * ms(layer) + sums * ADD_MS * layer.elements, "r")


def table(layers: Iterable[Layer], precision: str = "float32") -> CostTable:
    """Of these layers and of two sums, from which all others follow."""
    sums = [Layer("add", size, size) for size in (16, 1 << 16)]
    entries = [entry(layer, precision) for layer in dict.fromkeys([*layers, *sums])]
    return CostTable([Entry(None, precision, 1, EMPTY_MS, "r"), *entries])
