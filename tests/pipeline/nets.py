"""Small networks of many kinds, seeded, with batch norms that are not the identity: what pruning is tried on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures.resnet import resnet8


class Mobile(nn.Module):
    """An inverted residual with a depthwise convolution (MobileNetV2's block) between a stem and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.expand = nn.Conv2d(16, 32, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(32)
        self.depthwise = nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.project = nn.Conv2d(32, 16, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.stem(x)))
        y = F.relu6(self.norm1(self.expand(x)))
        y = F.relu6(self.norm2(self.depthwise(y)))
        x = x + self.norm3(self.project(y))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Concat(nn.Module):
    """Two branches of unequal width side by side, then a convolution over both."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 16, 3, 1, 1)
        self.right = nn.Conv2d(1, 24, 5, 1, 2)
        self.norm = nn.BatchNorm2d(40)
        self.join = nn.Conv2d(40, 16, 3, 2, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(torch.cat([self.left(x), self.right(x)], 1)))
        x = F.relu(self.join(x))
        return self.head(x.mean([2, 3]))


class Flat(nn.Module):
    """Convolutions whose pictures are flattened into a linear layer: one channel is sixteen of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1)
        self.conv2 = nn.Conv2d(16, 24, 3, 2, 1)
        self.hidden = nn.Linear(24 * 4 * 4, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.head(F.relu(self.hidden(torch.flatten(x, 1))))


class PreActivation(nn.Module):
    """A block of He et al. 2016b: normalised before each convolution, nothing after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class _Tail(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a picture, as ConvNeXt has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def pre_activation() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), PreActivation(16), PreActivation(16), _Tail(16))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 16), (16, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, _Tail(32))


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1, groups=2), nn.ReLU(),
        nn.Conv2d(16, 24, 3, 1, 1), nn.ReLU(), _Tail(24),
    )  # fmt: skip


def layer_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), ChannelNorm(16), nn.Conv2d(16, 24, 3, 1, 1), nn.ReLU(), _Tail(24))


def resnet() -> nn.Module:
    return resnet8(widths=(16, 16, 32), stem_stride=1)


NETS = {
    "resnet": resnet, "mobile": Mobile, "concat": Concat, "flat": Flat, "pre_activation": pre_activation, "vgg": vgg,
    "grouped": grouped, "layer_norm": layer_norm,
}  # fmt: skip
CUTTABLE = ("resnet", "mobile", "concat", "flat", "pre_activation", "vgg")


def make(name: str, seed: int = 0) -> nn.Module:
    """A network by name, in evaluation mode; its batch norms scale, shift and have statistics of their own."""
    torch.manual_seed(seed)
    network = NETS[name]()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return network.eval()


def pictures(count: int = 4, seed: int = 1) -> Tensor:
    """float32 [count, 1, 8, 8], normal."""
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
