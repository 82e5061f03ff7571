"""Ordinary pieces of networks at which a pruner easily goes wrong without a word: channels that are moved, mixed,
copied or normalised on the way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.trap import DIFFERS, Trap, cnn


class Mirrored(Trap):
    """CReLU (Shang et al. 2016): every channel twice, once negated."""

    def __init__(self) -> None:
        super().__init__(32)

    def trap(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([x, -x], 1))


class Repeated(Trap):
    def __init__(self) -> None:
        super().__init__(32)

    def trap(self, x: Tensor) -> Tensor:
        return x.repeat(1, 2, 1, 1) + x.repeat_interleave(2, dim=1)


class Rolled(Trap):
    """Channels added to their neighbours: none can go alone."""

    def trap(self, x: Tensor) -> Tensor:
        return x + torch.roll(x, 1, dims=1)


class Flipped(Trap):
    def trap(self, x: Tensor) -> Tensor:
        return x + x.flip(1)


class Reordered(Trap):
    """A fixed order of channels in a buffer: it counts them."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(16))

    def trap(self, x: Tensor) -> Tensor:
        return x[:, self.order]


class Selected(Trap):
    def trap(self, x: Tensor) -> Tensor:
        return x.index_select(1, torch.arange(15, -1, -1))


class Shifted(Trap):
    """Temporal-shift style: a part of the channels is written over (Lin et al. 2018)."""

    def trap(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        fold = x.size(1) // 4
        out[:, :fold, 1:] = x[:, :fold, :-1]
        out[:, fold:] = x[:, fold:]
        return out


class Overwritten(Trap):
    def trap(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, 0] = 1.0
        return x


class Maxout(Trap):
    def __init__(self) -> None:
        super().__init__(8)

    def trap(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1, 2, x.size(2), x.size(3)).amax(2)


class Normalised(Trap):
    """Unit length over the channels: without one of them the others change."""

    def trap(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1)


class SoftChannels(Trap):
    def trap(self, x: Tensor) -> Tensor:
        return F.softmax(x, dim=1) * 10


class SpatialAttention(Trap):
    """CBAM's second half (Woo et al. 2018): a mean and a maximum over channels weigh the places."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3)

    def trap(self, x: Tensor) -> Tensor:
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.weigh(both))


class ChannelConvolution(Trap):
    """ECA (Wang et al. 2020): a 1-d convolution that runs over the channels themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def trap(self, x: Tensor) -> Tensor:
        y = self.conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1)
        return x * torch.sigmoid(y)[:, :, None, None]


class ResponseNorm(Trap):
    """AlexNet's norm over neighbouring channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(5, alpha=0.5)

    def trap(self, x: Tensor) -> Tensor:
        return self.norm(x)


ENTRIES = {
    **cnn(Mirrored),
    **cnn(Repeated, stem="one unit"),
    **cnn(Rolled, stem="one unit"),
    **cnn(Flipped),
    **cnn(Reordered, stem="by number"),
    **cnn(Selected, stem="by number"),
    **cnn(Shifted, stem=DIFFERS),
    **cnn(Overwritten, stem=DIFFERS),
    **cnn(Maxout, stem="amax"),
    **cnn(Normalised, stem="norm"),
    **cnn(SoftChannels, stem="softmax"),
    **cnn(SpatialAttention, stem="mean", weigh="one unit"),
    **cnn(ChannelConvolution, stem="conv1d", conv=""),
    **cnn(ResponseNorm, stem="avg_pool3d"),
}
