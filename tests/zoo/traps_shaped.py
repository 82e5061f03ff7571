"""Ordinary pieces of networks at which a pruner easily goes wrong without a word: channels that are grouped, counted,
reshaped, or made of computed weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures
from tests.zoo.trap import DIFFERS, FAILS, NEURONS, NONE, Trap, cnn


class Multiplied(Trap):
    """A depthwise convolution with two outputs an input."""

    def __init__(self) -> None:
        super().__init__(32)
        self.depthwise = nn.Conv2d(16, 32, 3, padding=1, groups=16)

    def trap(self, x: Tensor) -> Tensor:
        return F.relu(self.depthwise(x))


class SpaceToDepth(Trap):
    """YOLO's focus: places become channels."""

    def __init__(self) -> None:
        super().__init__(64)

    def trap(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


class PixelShuffle(Trap):
    def __init__(self) -> None:
        super().__init__(4)
        self.shuffle = nn.PixelShuffle(2)

    def trap(self, x: Tensor) -> Tensor:
        return self.shuffle(x)


class PixelUnshuffle(Trap):
    def __init__(self) -> None:
        super().__init__(64)

    def trap(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, 2)


class GroupedShuffle(Trap):
    """ShuffleNet's first version: a grouped convolution, a shuffle, a grouped convolution."""

    def __init__(self) -> None:
        super().__init__(24)
        self.first = nn.Conv2d(16, 24, 1, groups=2, bias=False)
        self.second = nn.Conv2d(24, 24, 3, padding=1, groups=4)

    def trap(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = x.reshape(x.size(0), 2, -1, x.size(2), x.size(3)).transpose(1, 2).flatten(1, 2)
        return F.relu(self.second(x))


class GroupedTransposed(Trap):
    def __init__(self) -> None:
        super().__init__(8)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=4)

    def trap(self, x: Tensor) -> Tensor:
        return self.up(x)


class WeightNormed(Trap):
    """A weight that is computed from two others at every pass."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.stem)

    def trap(self, x: Tensor) -> Tensor:
        return x


class SpectralNormed(Trap):
    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.spectral_norm(self.next)

    def trap(self, x: Tensor) -> Tensor:
        return x


class Standardised(nn.Conv2d):
    """Weight standardisation (Qiao et al. 2019): each filter minus its own mean, which runs over its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        weight = weight / (weight.std(dim=(1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class WeightStandardised(Trap):
    def __init__(self) -> None:
        super().__init__()
        self.next = Standardised(16, 12, 3, padding=1)

    def trap(self, x: Tensor) -> Tensor:
        return x


class Counted(Trap):
    """Divides by how many channels there are."""

    def trap(self, x: Tensor) -> Tensor:
        return x * (8.0 / x.size(1))


class MeanOfChannels(Trap):
    def __init__(self) -> None:
        super().__init__(1)

    def trap(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)


class SumOfChannels(Trap):
    """A sum without the channels that are zero is the same sum."""

    def __init__(self) -> None:
        super().__init__(1)

    def trap(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True)


class Gram(Trap):
    """Products of all channels with all: the size of what follows depends on them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Linear(256, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x)).flatten(2)
        return self.fc(F.relu(self.flat(torch.bmm(x, x.transpose(1, 2)).flatten(1))))


class Noised(Trap):
    """A constant map of the channels' own number is added."""

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.randn(1, 16, 8, 8))

    def trap(self, x: Tensor) -> Tensor:
        return x * self.grid


class Stacked(Trap):
    """Channels by pairs in a new dimension, and back in the other order."""

    def __init__(self) -> None:
        super().__init__(32)
        self.other = nn.Conv2d(3, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([F.relu(self.stem(x)), torch.tanh(self.other(x))], dim=2)
        return self.fc(F.relu(self.next(both.flatten(1, 2))).mean((2, 3)))


ENTRIES = {
    **cnn(Multiplied),
    **cnn(SpaceToDepth),
    **cnn(PixelShuffle),
    **cnn(PixelUnshuffle),
    **cnn(GroupedShuffle),
    **cnn(GroupedTransposed),
    **cnn(WeightNormed),
    "trap-SpectralNormed": Entry(SpectralNormed, pictures(), NONE, {"next": "mv", "stem": "mv", "fc": "output"}),
    **cnn(WeightStandardised, stem="mean"),
    **cnn(Counted, stem=DIFFERS),
    **cnn(MeanOfChannels, stem="mean"),
    **cnn(SumOfChannels, stem="sum"),
    "trap-Gram": Entry(Gram, pictures(), NEURONS, {"stem": FAILS, "next": "not use", "fc": "output"}),
    **cnn(Noised),
    **cnn(Stacked),
}
