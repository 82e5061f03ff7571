"""What a choice will have lost of the metric once it is fine-tuned: from its sensitivity and its size, and from what
candidates that were really trained have shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.search.pace import FEW
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space

_PRIOR = (0.05, 0.06, 0.02)
"""Of the trained network's error (1 - metric), what is lost for each unit of a feature, fully fine-tuned: what depth
and width pruning of a ResNet-20 with distillation lost (Fashion-MNIST, 6 of 15 epochs)."""
_WEIGHT = 0.5
SURE = 3
"""How many short trainings one full one counts for."""
AMPLIFIED = (0.5, 8.0)
"""How far what cuts lose together may be from the sum of what each lost alone."""
AS_SUMMED = 0.005
"""Metric that is taken to have been lost as the sum says, so that one sample more or less says little."""
EXPONENT = 0.5
"""After k times the epochs, what is lost is k to the minus this: twice the epochs gave back 0.3 of 0.9 points."""


def at_epochs(lost: float, seen: int, wanted: int, exponent: float = EXPONENT) -> float:
    """What will be lost after `wanted` epochs of fine-tuning where `lost` is after `seen`. A gain stays what it is."""
    if lost <= 0 or seen <= 0 or wanted <= seen:
        return lost
    return lost * (seen / wanted) ** exponent


def _over(pairs: Sequence[tuple[float, float]]) -> float:
    """(lost, summed) of several choices > one over the other."""
    return (sum(lost for lost, _ in pairs) + AS_SUMMED) / (sum(summed for _, summed in pairs) + AS_SUMMED)


def _several(choice: Choice) -> bool:
    return len(choice.remove) + len(choice.widths) > 1


@dataclass
class Forecast:
    """full: epochs of a full fine-tuning; base: the trained network's metric on validation.

    seen: by choice, (epochs, metric lost) of its trainings; bare: by choice, what was lost without any.
    """

    space: Space
    sensitivity: Sensitivity
    base: float
    full: int
    seen: dict[Choice, list[tuple[int, float]]] = field(default_factory=dict)
    bare: dict[Choice, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._whole = self.space.size(Choice())
        self._weights = self._prior()
        self._amplified = 1.0

    @property
    def brief(self) -> bool:
        """Whether even a full fine-tuning makes good little of what a cut takes."""
        return self.full <= FEW

    def learn(self, choice: Choice, epochs: int, lost: float) -> None:
        """This choice lost so much after so many epochs, which may be none."""
        if epochs:
            self.seen.setdefault(choice, []).append((epochs, lost))
            self._weights = self._fitted()
        else:
            self.bare[choice] = lost
        self._amplified = self._by_how_much()

    def lost(self, choice: Choice) -> float:
        """What the choice will have lost after a full fine-tuning."""
        if choice in self.seen:
            epochs, lost = max(self.seen[choice])
            found = at_epochs(lost, epochs, self.full, self.exponent)
            return min(found, self.bare.get(choice, found))  # training that did harm is left out
        return self._guess(choice)

    def after(self, lost: float, epochs: int) -> float:
        """What is lost after fewer epochs than a full fine-tuning, of which it would lose `lost`."""
        return lost * (self.full / max(1, min(epochs, self.full))) ** self.exponent if lost > 0 else lost

    def spared(self, choice: Choice, lost: float) -> float:
        """The same, of a choice of which it is known, or where fine-tuning is short thought, what going without loses:
        few epochs lose no more."""
        known = choice in self.bare or (self.brief and choice not in self.seen)
        return min(lost, max(0.0, self.untrained(choice))) if known else lost

    def usual(self, choice: Choice) -> float:
        """What the choice loses as a rule: its own training is one draw of many, and as uncertain as what all say."""
        return (self.lost(choice) + self._weighted(self._weights, choice)) / 2

    def untrained(self, choice: Choice) -> float:
        """What the choice will lose without any fine-tuning: what rows of embeddings cost by themselves, and what its
        cuts lose together."""
        if choice in self.bare:
            return self.bare[choice]
        return self.rows + (self._amplified if _several(choice) else 1.0) * self.summed(choice)

    @property
    def rows(self) -> float:
        """What going without the rows that the data never uses lost by itself."""
        return max(0.0, self.bare.get(Choice(), 0.0))

    def summed(self, choice: Choice) -> float:
        """The sum of what each cut lost alone, and what the size that goes is thought to cost: tries on few samples see
        no loss in what is not free. A layer that was left out by itself since adds what it lost beyond that."""
        found = self._as_tried(choice)
        for other, lost in self.bare.items():
            if len(other.remove) == 1 and not other.widths and other.remove[0] in choice.remove:
                found += max(0.0, lost - self.rows - self._as_tried(other))
        return found

    def _as_tried(self, choice: Choice) -> float:
        return self.sensitivity.lost(choice) + self._weighted(self._prior(), choice)

    def _by_how_much(self) -> float:
        """What cuts lost together over the sums of what they lost alone."""
        bare = [(lost - self.rows, self.summed(choice)) for choice, lost in self.bare.items() if _several(choice)]
        known = _over(bare)
        # A training heals: it tells something only where it lost even more.
        for choice, runs in self.seen.items():
            lost, summed = min(runs)[1] - self.rows, self.summed(choice)
            if _several(choice) and choice not in self.bare and lost > known * summed:
                bare.append((lost, summed))
        least, most = AMPLIFIED
        return min(most, max(least, _over(bare)))

    def _guess(self, choice: Choice) -> float:
        guess = self._weighted(self._weights, choice)
        # A short fine-tuning leaves a network close to what it was: what a cut spares, it spares after it too.
        return min(guess, self.untrained(choice)) if self.brief else guess

    def _weighted(self, weights: Sequence[float], choice: Choice) -> float:
        return sum(weight * value for weight, value in zip(weights, self._features(choice), strict=True))

    @property
    def exponent(self) -> float:
        """Learnt from choices that were trained for several lengths; EXPONENT where there are none."""
        found = []
        for runs in self.seen.values():
            (few, more), (many, less) = min(runs), max(runs)
            if many > few and more > 0:
                found.append(min(1.0, max(0.1, math.log(more / max(less, more / 20)) / math.log(many / few))))
        return (sum(found) + EXPONENT) / (len(found) + 1)

    def _features(self, choice: Choice) -> tuple[float, float, float]:
        left = self.space.size(choice)
        return (
            self.sensitivity.lost(choice),
            math.log(max(1, self._whole.macs) / max(1, left.macs)),
            math.log(max(1, self._whole.params) / max(1, left.params)),
        )

    def _prior(self) -> list[float]:
        error = min(1.0, max(0.005, 1 - self.base))
        return [error * weight for weight in _PRIOR]

    def _fitted(self) -> list[float]:
        """Least squares, no weight below 0, drawn towards the prior: by turns, one weight at a time."""
        prior = self._prior()
        weights = list(prior)
        rows = [
            (self._features(choice), max(0.0, at_epochs(lost, epochs, self.full, self.exponent)))
            for choice, runs in self.seen.items()
            for epochs, lost in [max(runs)]
            # What was trained to the end is no guess.
            for _ in range(SURE if epochs >= self.full else 1)
        ]
        for _ in range(200):
            for place in range(len(weights)):
                up, down = _WEIGHT * prior[place], _WEIGHT
                for features, lost in rows:
                    others = (
                        sum(w * f for w, f in zip(weights, features, strict=True)) - weights[place] * features[place]
                    )
                    up += features[place] * (lost - others)
                    down += features[place] ** 2
                weights[place] = max(0.0, up / down)
        return weights
