"""How the time of a search is shared out: what a candidate will take, how many of them fit, and for how many epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

EXPLORING = 0.4
"""Share of the training's time for short candidates, of which the model of loss and time learns; the rest is for few
long ones."""
ROUNDS = 3
"""How often it proposes, at most."""
FINALS = 0.35
"""Share of the budget that the end of a search may take, where exporting and checking one network takes minutes."""
LEAST = 4
"""Epochs of a full fine-tuning, at least: a network that was pretrained elsewhere has few of its own."""
FEW = 4
"""Epochs of a full fine-tuning that make good little of what a cut takes."""
FIXED = 0.25
"""Part of an epoch's time that a smaller network does not save: batches, mirror images, a pass over validation."""
ROUNDED = 1.3
"""Times what an epoch takes, one with weights of few values: 1.15 to 1.45 on a ResNet-20."""


@dataclass(frozen=True)
class Pace:
    """Seconds: of an epoch of the whole network with its teacher, of a cut, of one more bundle from export to check, of
    a short look at the trained network's bundles. side: bundles that are made side by side at the end."""

    epoch_s: float
    cut_s: float
    bundle_s: float
    look_s: float
    side: int = 1

    def to_json(self) -> dict[str, Any]:
        return vars(self)

    def training_s(self, share: float, epochs: int) -> float:
        """Of a candidate with that share of the whole network's MACs."""
        return self.cut_s + epochs * self.epoch_s * (FIXED + (1 - FIXED) * share)

    def light_s(self, share: float, epochs: int) -> float:
        """The same of one in a light form."""
        return self.cut_s + ROUNDED * (self.training_s(share, epochs) - self.cut_s)

    def finals_s(self, networks: int, ways: int) -> float:
        """Of exporting and measuring so many networks in all ways, beside the trained one.

        A session waits for a quiet device, which the short look did too, and takes three times as long a bundle.
        """
        bundles = (networks + 1) * ways
        return (
            networks * ways * self.bundle_s / self.side
            + self.look_s / 2
            + bundles * max(3.0, 1.5 * self.look_s / max(1, ways))
        )

    def epochs(self, left_s: float, share: float, most: int) -> int:
        """Epochs, `most` at most, that one candidate can be trained for."""
        each = self.training_s(share, 1) - self.cut_s
        return max(0, min(most, int((left_s - self.cut_s) / max(1e-9, each))))


def epoch_of(seconds: float, share: float, epochs: int) -> float:
    """Seconds of an epoch of the whole network, from what one candidate took."""
    return seconds / max(1, epochs) / (FIXED + (1 - FIXED) * share)


def full_epochs(trained: int, said: Sequence[int]) -> int:
    """Epochs of a full fine-tuning: 60 % of the training's. Of a network that came trained, what its recipe says."""
    return max([LEAST, round(0.6 * trained)] if trained else [LEAST, *said])


def short_epochs(full: int) -> int:
    """Epochs of a candidate that is only to show where it leads."""
    return 1 if full <= FEW else 2


def finalists(budget_s: float) -> int:
    """Networks that are measured in all ways at the end, at most."""
    return 1 if budget_s < 150 else 2 if budget_s < 600 else 3


def lightest(budget_s: float) -> int:
    """How many with a smaller download are measured beside them, at most: what holds in float may not in INT8."""
    return 1 if budget_s < 600 else 2 if budget_s < 1200 else 3


def networks_at_the_end(pace: Pace, ways: int, budget_s: float) -> tuple[int, int]:
    """How many of the fastest and of the lightest are measured in so many ways: what FINALS allows, one at least."""
    fast, light = finalists(budget_s), lightest(budget_s)
    while fast + light > 1 and pace.finals_s(fast + light, ways) > FINALS * budget_s:
        fast, light = (fast - 1, light) if fast > light else (fast, light - 1)
    return fast, light


def reserved(budget_s: float) -> int:
    """Trainings that the long ones leave to those with a smaller download."""
    return 1 if budget_s < 1200 else 2


def trials(budget_s: float) -> int:
    """Choices that one allocation looks at: about a second each fifty."""
    return max(150, min(2000, int(budget_s)))


def aims(max_drop: float) -> list[float]:
    """Metric that candidates may lose, the most wanted first: around what is allowed, to learn where it ends."""
    unit = max(max_drop, 0.002)
    return [unit * share for share in (0.5, 1.0, 1.5, 0.25, 2.0, 0.75)]
