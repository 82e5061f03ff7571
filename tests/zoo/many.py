"""Networks with two inputs, two outputs, or one module used for both."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures


def _pair(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return torch.randn(count, 3, 16, 16, generator=generator), torch.randn(count, 6, generator=generator)


def _twins(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return tuple(torch.randn(count, 3, 16, 16, generator=generator) for _ in range(2))


class LateFusion(nn.Module):
    """A picture and the readings of six sensors."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        )
        self.sensors = nn.Sequential(nn.Linear(6, 16), nn.ReLU())
        self.join = nn.Linear(12 * 4 + 16, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, picture: Tensor, readings: Tensor) -> Tensor:
        both = torch.cat([self.picture(picture).flatten(1), self.sensors(readings)], dim=-1)
        return self.head(F.relu(self.join(both)))


class Siamese(nn.Module):
    """One tower for two pictures (its convolutions are used twice); how far apart they are."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 12),
        )  # fmt: skip
        self.decide = nn.Linear(12, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.sigmoid(self.decide(torch.abs(self.tower(left) - self.tower(right))))


class TwoHeads(nn.Module):
    """A shared trunk; a class and a box. The trunk's features are read by both."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1))
        self.classes = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))
        self.box_conv = nn.Conv2d(24, 8, 1)
        self.box = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = F.relu(self.trunk(x))
        return self.classes(features), self.box(self.box_conv(features).mean((2, 3)))


class DictOutput(nn.Module):
    """Named outputs, one of them the features themselves: those can't be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, 2, 1)
        self.second = nn.Conv2d(16, 12, 3, 2, 1)
        self.fc = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = F.relu(self.second(F.relu(self.first(x))))
        return {"logits": self.fc(features.mean((2, 3))), "features": features}


class UsedTwice(nn.Module):
    """A convolution applied again to its own output: its inputs are its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 2, 1)
        self.again = nn.Conv2d(12, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for _ in range(3):
            x = F.relu(self.norm(self.again(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1))


_FILTERS, _NEURONS = frozenset({"filters"}), frozenset({"neurons"})

ENTRIES = {
    "two-inputs": Entry(LateFusion, _pair, _FILTERS | _NEURONS, {"head": "output"}),
    "siamese": Entry(Siamese, _twins, _FILTERS | _NEURONS, {"decide": "one unit"}),
    "two-outputs": Entry(TwoHeads, pictures(), _FILTERS, {"classes.2": "output", "box": "output"}),
    "dict-output": Entry(DictOutput, pictures(), _FILTERS, {"second": "output", "fc": "output"}),
    "used-twice": Entry(UsedTwice, pictures(), _FILTERS, {"fc": "output"}),
}
