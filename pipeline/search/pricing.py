"""What a choice would take on the device and on the disk: predicted from measured costs, corrected by whole models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.search.space import Choice, Space

if TYPE_CHECKING:
    from pipeline.costs.layers import Layer

WIDTHS = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "dynamic": 1.0}
"""Bytes of one weight in a file."""
_TRUST = 0.05
"""How much the prior weighs against measured models, in squared log ratios: as one model of 0.8 times the base's."""


class Prices(Protocol):
    """Predicts the latency of a network, in ms, from its layers: pipeline.costs.table.CostTable does."""

    def predict(self, layers: Sequence[Layer], precision: str) -> float: ...


@dataclass(frozen=True)
class Way:
    """One way of running a network here: the trained network's own bundle in a runtime and precision, measured.

    ms: its p50; bytes, params: of its file.
    """

    variant: str
    runtime: str
    precision: str
    ms: float
    bytes: int
    params: int


@dataclass(frozen=True)
class Thumb:
    """Prices where no layer can be measured: some for each operator, some for each multiply-accumulate of the whole.

    ms: of the whole network, by precision.
    """

    whole: Sequence[Layer]
    ms: Mapping[str, float]
    per_operator: float = 0.5
    per_mac: float = 0.4

    def predict(self, layers: Sequence[Layer], precision: str) -> float:
        macs = sum(one.macs for one in layers) / max(1, sum(one.macs for one in self.whole))
        fixed = 1 - self.per_operator - self.per_mac
        return self.ms[precision] * (
            fixed + self.per_operator * len(layers) / max(1, len(self.whole)) + self.per_mac * macs
        )


@dataclass(frozen=True)
class Price:
    """What a choice is predicted to be at its best way: ms, and the file's bytes there."""

    ms: float
    bytes: float
    way: Way


@dataclass
class Pricing:
    """Prices of choices by way. prices: by runtime. seen: by way's variant, (predicted, measured) of whole models, as
    shares of the trained network's."""

    space: Space
    ways: Sequence[Way]
    prices: Mapping[str, Prices]
    seen: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _known: dict[Choice, Price] = field(default_factory=dict)
    _timed: dict[tuple[Choice, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole = self.space.left(Choice())
        self._operators = len(whole)
        self._whole = {way.variant: self._raw(whole, way) for way in self.ways}
        # With all rows of its embeddings, as the trained network's file has them.
        self._params = sum(math.prod(sizes) for sizes in self.space.tensors.values())

    def best(self, choice: Choice) -> Price:
        """The fastest way."""
        if choice not in self._known:
            self._known[choice] = min(self.all(choice), key=lambda price: (price.ms, price.bytes))
        return self._known[choice]

    def all(self, choice: Choice) -> list[Price]:
        """Every way's price, the ways in order; the time as it was measured, where a whole model of it was."""
        layers = self.space.left(choice)
        params = self.space.size(choice).params
        operators = len(layers) / max(1, self._operators)
        times = [self._timed.get((choice, way.variant)) or self._ms(layers, way) for way in self.ways]
        return [Price(ms, self._bytes(params, operators, way), way) for ms, way in zip(times, self.ways, strict=True)]

    def learn(self, choice: Choice, variant: str, ms: float) -> None:
        """A whole model of this choice took `ms`."""
        way = next(way for way in self.ways if way.variant == variant)
        predicted = self._raw(self.space.left(choice), way) / self._whole[variant]
        self.seen.setdefault(variant, []).append((predicted, ms / way.ms))
        self._timed[choice, variant] = ms
        self._known.clear()

    def _raw(self, layers: Sequence[Layer], way: Way) -> float:
        """As the table says it: never nothing, so that ratios of it can be taken."""
        found = self.prices[way.runtime].predict(layers, way.precision)
        return max(found, 1e-6) if math.isfinite(found) else 1e-6

    def _ms(self, layers: Sequence[Layer], way: Way) -> float:
        share = self._raw(layers, way) / self._whole[way.variant]
        return way.ms * share ** self._slope(way.variant)

    def _slope(self, variant: str) -> float:
        """By how much more, or less, the time falls than predicted: least squares on logs, towards 1."""
        up, down = _TRUST, _TRUST
        for predicted, measured in self.seen.get(variant, ()):
            up += math.log(predicted) * math.log(measured)
            down += math.log(predicted) ** 2
        return min(2.0, max(0.3, up / down))

    def _bytes(self, params: int, operators: float, way: Way) -> float:
        """Weights by their width, and what lies around them by the operators."""
        each = WIDTHS.get(way.precision, 4.0)
        around = max(0.0, way.bytes - each * way.params)
        return each * params * way.params / max(1, self._params) + around * operators


def errors(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """(predicted, measured) > median and 90th percentile of |predicted / measured - 1|; None where there is none."""
    from device_agents.farm.paired import percentile

    off = sorted(abs(predicted / measured - 1) for predicted, measured in pairs if measured > 0)
    if not off:
        return {"median": None, "p90": None}
    return {"median": percentile(off, 0.5), "p90": percentile(off, 0.9)}
