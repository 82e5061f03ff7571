"""Networks that can't be followed: what they compute depends on the data, or leaves torch on the way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures, vectors


class Branches(nn.Module):
    """Its control flow depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.second = nn.Linear(24, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        if x.mean() > 0.5:
            x = torch.relu(self.second(x))
        return self.head(x)


class Loops(nn.Module):
    """How often it runs depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(12, 12)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        while x.norm() > 1:
            x = 0.5 * torch.tanh(self.step(x))
        return self.head(x)


class Numpy(nn.Module):
    """It leaves torch in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        means: Any = self.conv(x).mean((2, 3)).detach().numpy()
        return self.head(torch.from_numpy(means * 2))


class Picks(nn.Module):
    """The shape of what it computes depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        strong = x[x.sum(1) > 0]
        return self.head(strong).sum(0, keepdim=True) + self.head(x)


ENTRIES = {
    "branches": Entry(Branches, vectors(12), frozenset()),
    "loops": Entry(Loops, vectors(12), frozenset()),
    "numpy": Entry(Numpy, pictures(), frozenset()),
    "picks": Entry(Picks, vectors(12), frozenset()),
}
