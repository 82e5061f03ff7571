"""Ordinary pieces of networks at which a pruner easily goes wrong without a word: what they share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures


class Trap(nn.Module):
    """A stem, the trap, and a classifier that reads `width` channels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.next = nn.Conv2d(width, 12, 3, padding=1)
        self.fc = nn.Linear(12, 10)

    def trap(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = self.trap(F.relu(self.stem(x)))
        return self.fc(F.relu(self.next(x)).mean((2, 3)))


def cnn(kind: type[Trap], **left: str) -> dict[str, Entry]:
    """`next` can always go; `left` says what else stays and why."""
    return {f"trap-{kind.__name__}": Entry(kind, pictures(), FILTERS, {**left, "fc": "output"})}


NONE = frozenset[str]()
FILTERS, NEURONS = frozenset({"filters"}), frozenset({"neurons"})
DIFFERS, FAILS = "computes something else", "forward pass fails"
