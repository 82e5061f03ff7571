"""The measured times of layers on one device in one runtime, and what a network of such layers takes by them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from device_agents.farm.paired import percentile
from edgewright.errors import EdgewrightError
from pipeline.costs.form import joins
from pipeline.costs.interpolation import Point, interpolate
from pipeline.costs.layers import WEIGHTED, Layer

SCHEMA = "edgewright-costs/1"


class NotMeasured(EdgewrightError):
    """The table has no layer of this kind, so nothing can be said of its time."""


class BadCosts(EdgewrightError):
    """A file that is no table of costs, or one of another version."""


@dataclass(frozen=True)
class Entry:
    """What was measured: a graph with `copies` of a layer (none: an empty one) takes `ms`.

    report: its id; sound: whether that report is valid.
    """

    layer: Layer | None
    precision: str
    copies: int
    ms: float
    report: str = ""
    sound: bool = True

    @property
    def key(self) -> tuple[Layer | None, str]:
        return self.layer, self.precision

    def to_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("precision", "copies", "ms", "report", "sound")}
        return told | {"layer": self.layer.to_json() if self.layer else None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        """Raises KeyError, TypeError or ValueError where `content` is none of to_json's."""
        layer, ms = content["layer"], float(content["ms"])
        if not (math.isfinite(ms) and ms > 0):
            raise ValueError(f"{ms} ms is no time")
        given = None if layer is None else Layer.from_json(layer)
        report, sound = str(content["report"]), bool(content["sound"])
        return cls(given, str(content["precision"]), int(content["copies"]), ms, report, sound)


@dataclass(frozen=True)
class Whole:
    """A whole network that was measured: its layers, its precision, and the p50 of one inference."""

    layers: Sequence[Layer]
    precision: str
    ms: float


@dataclass(frozen=True)
class Error:
    """How far predictions are from whole networks, relative to what was measured (0.1 is 10 %). n: how many networks.

    bias: the median of predicted over measured; median and p90: of the absolute error.
    """

    bias: float
    median: float
    p90: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        return {"bias": self.bias, "median": self.median, "p90": self.p90, "n": self.n}


@dataclass
class CostTable:
    """entries: in any order; fits: by precision, (offset in ms, factor) that bring sums to whole networks' times.

    failed: layers that the device could not run, with its words, by their label.
    """

    entries: Sequence[Entry]
    fits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries = sorted(self.entries, key=lambda one: (one.precision, one.layer is not None, one.layer or _FIRST))
        self._empty = {one.precision: one.ms for one in self.entries if one.layer is None}
        self._families: dict[tuple[Any, ...], dict[Point, float]] = {}
        # Sums are taken off what was joined by them, so they come first.
        for one in sorted(self.entries, key=lambda one: one.layer is not None and one.layer.kind != "add"):
            if one.layer is not None:
                family = self._families.setdefault(_family(one.layer, one.precision), {})
                family[_place(one.layer)] = self._alone(one, one.layer)
        self._known: dict[tuple[Layer, str], float] = {}

    def ms(self, layer: Layer, precision: str) -> float:
        """One layer's time in a larger graph, ms; between measured widths interpolated. Raises NotMeasured."""
        key = layer, precision
        if key not in self._known:
            points = self._families.get(_family(layer, precision))
            if not points:
                raise NotMeasured(
                    f"No {layer.kind} of this size was measured in {precision}",
                    where=layer.label,
                    remedy="run the same command again: it measures what is missing",
                )
            self._known[key] = interpolate(points, _place(layer))
        return self._known[key]

    def predict(self, layers: Iterable[Layer], precision: str) -> float:
        """One inference of a network of these layers, ms. Raises NotMeasured."""
        whole = self._sum(list(layers), precision)
        offset, factor = self.fits.get(precision, (0.0, 1.0))
        return offset + factor * whole

    @property
    def doubtful(self) -> int:
        """Entries out of reports that are not valid: the device was busy or hot then."""
        return sum(not one.sound for one in self.entries)

    def missing(self, layers: Iterable[Layer], precision: str) -> list[Layer]:
        """Those of the layers of which predict would raise NotMeasured."""
        asked = resolved(list(layers), precision)
        found = [layer for layer, at in asked if _family(layer, at) not in self._families]
        return sorted(set(found))

    def fitted(self, wholes: Sequence[Whole]) -> CostTable:
        """The table with its predictions brought to networks that were measured, by precision.

        One network gives a factor, several also an offset of zero or more, by least squares of the relative errors.
        """
        fits = dict(self.fits)
        for precision in dict.fromkeys(one.precision for one in wholes):
            own = [one for one in wholes if one.precision == precision]
            fits[precision] = _fit([(self._sum(one.layers, precision), one.ms) for one in own])
        return CostTable(self.entries, fits, self.failed)

    def error(self, wholes: Sequence[Whole]) -> Error:
        """Of the table as it is (fitted or not) against networks that were measured. Raises ValueError for none."""
        return _error([(self.predict(one.layers, one.precision), one.ms) for one in wholes])

    def fitted_error(self, wholes: Sequence[Whole]) -> Error:
        """What to expect of a network that was not measured: each is predicted by a fit to all the others."""
        if len(wholes) < 2:
            return self.error(wholes)
        pairs = []
        for place, one in enumerate(wholes):
            others = [*wholes[:place], *wholes[place + 1 :]]
            pairs.append((self.fitted(others).predict(one.layers, one.precision), one.ms))
        return _error(pairs)

    def to_json(self) -> dict[str, Any]:
        """The same table gives the same JSON."""
        return {
            "schema": SCHEMA,
            "entries": [one.to_json() for one in self.entries],
            "fits": {precision: list(self.fits[precision]) for precision in sorted(self.fits)},
            "failed": {label: self.failed[label] for label in sorted(self.failed)},
        }

    @classmethod
    def from_json(cls, content: Any, where: str = "") -> CostTable:
        """Raises BadCosts where `content` is no table of this schema."""
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is {content['schema']!r}")
            fits = {str(name): (float(fit[0]), float(fit[1])) for name, fit in content["fits"].items()}
            failed = {str(label): str(why) for label, why in content["failed"].items()}
            return cls([Entry.from_json(one) for one in content["entries"]], fits, failed)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise BadCosts(
                f"This is no table of costs: {error}", where=where, remedy="delete it: it is measured again"
            ) from error

    def _sum(self, layers: Sequence[Layer], precision: str) -> float:
        empty = self._empty.get("int8" if precision == "int8" else "float32", 0.0)
        return empty + sum(self.ms(layer, at) for layer, at in resolved(layers, precision))

    def _alone(self, entry: Entry, layer: Layer) -> float:
        """Its share of the graph: without the graph's own time, and without the sums that joined the copies."""
        whole = (entry.ms - self._empty.get(entry.precision, 0.0)) / entry.copies
        sums = (entry.copies - 1) / entry.copies if joins(layer) else 1.0 if layer.kind == "pool" else 0.0
        # Around a linear layer all is float, whatever it computes in.
        precision = "float32" if layer.kind == "linear" else entry.precision
        points = self._families.get(("add", precision)) if sums else None
        taken = sums * interpolate(points, (layer.elements,)) if points else 0.0
        # Noise may leave nothing, and nothing takes no time at all: a nanosecond.
        return max(whole - taken, whole / 20, 1e-6)


_FIRST = Layer("add", 0, 0)


def resolved(layers: Sequence[Layer], precision: str) -> list[tuple[Layer, str]]:
    """Each layer with the precision that it is computed in where the network's is `precision`.

    FP16 is a way of storing. With attention, only layers with weights are quantised, as the quantise steps do it; in
    "dynamic" linear layers alone are.
    """
    if precision in ("float32", "float16"):
        return [(layer, "float32") for layer in layers]
    attention = any(layer.kind == "matmul" for layer in layers)
    quantised = ("linear",) if precision == "dynamic" else WEIGHTED if attention else None
    return [(one, precision if quantised is None or one.kind in quantised else "float32") for one in layers]


def _family(layer: Layer, precision: str) -> tuple[Any, ...]:
    """What layers must have in common for their widths alone to tell their times apart."""
    if layer.kind in WEIGHTED:
        alike = layer.outputs // layer.inputs if layer.kind == "depthwise" else layer.groups
        return layer.kind, precision, layer.size, layer.kernel, layer.stride, alike
    if layer.kind == "matmul":
        return layer.kind, precision, layer.size, layer.inputs, layer.outputs
    return layer.kind, precision


def _place(layer: Layer) -> Point:
    """Where in its family a layer lies."""
    if layer.kind == "depthwise":
        return (layer.outputs,)
    if layer.kind in WEIGHTED:
        return layer.inputs, layer.outputs
    return (layer.groups,) if layer.kind == "matmul" else (layer.elements,)


def _fit(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(offset, factor) for (sum, measured): the least squares of (offset + factor * sum) / measured - 1."""
    a = [1 / ms for _, ms in pairs]
    b = [whole / ms for whole, ms in pairs]
    aa, ab, bb = sum(x * x for x in a), sum(x * y for x, y in zip(a, b, strict=True)), sum(y * y for y in b)
    determinant = aa * bb - ab * ab
    if len(pairs) > 2 and determinant > 1e-9 * aa * bb:
        offset = (bb * sum(a) - ab * sum(b)) / determinant
        factor = (aa * sum(b) - ab * sum(a)) / determinant
        if offset >= 0 and factor > 0:
            return offset, factor
    return 0.0, sum(b) / bb


def _error(pairs: Sequence[tuple[float, float]]) -> Error:
    if not pairs:
        raise ValueError("no network was measured")
    ratios = [predicted / ms for predicted, ms in pairs]
    off = sorted(abs(ratio - 1) for ratio in ratios)
    return Error(median(ratios), median(off), percentile(off, 0.9), len(pairs))
