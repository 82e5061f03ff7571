"""Residual networks: ResNet with both of its shortcuts (He et al. 2015), and ResNeXt (Xie et al. 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures


class BasicBlock(nn.Module):
    def __init__(self, in_planes: int, planes: int, stride: int = 1, option: str = "B") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or in_planes != planes:
            if option == "A":
                self.shortcut = PadShortcut(planes - in_planes)
            else:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(planes)
                )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class PadShortcut(nn.Module):
    """Option A of the paper: every second pixel, and zeros for the channels that are new."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra // 2), "constant", 0)


class ResNet(nn.Module):
    def __init__(self, planes: tuple[int, ...] = (8, 16), blocks: int = 2, option: str = "B") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, planes[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        layers: list[nn.Module] = []
        before = planes[0]
        for stage, width in enumerate(planes):
            for number in range(blocks):
                layers.append(BasicBlock(before, width, 2 if stage and not number else 1, option))
                before = width
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(F.relu(self.bn1(self.conv1(x))))
        out = F.avg_pool2d(out, out.size(3))
        out = out.view(out.size(0), -1)
        return self.linear(out)


class Bottleneck(nn.Module):
    """Aggregated transformations: a grouped convolution between two pointwise ones."""

    def __init__(self, width: int, inner: int, cardinality: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.grouped = nn.Conv2d(inner, inner, 3, padding=1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.expand = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.reduce(x)))
        out = self.relu(self.bn2(self.grouped(out)))
        return self.relu(self.bn3(self.expand(out)) + x)


def resnext() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        Bottleneck(16, 24, 4),
        Bottleneck(16, 24, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


ENTRIES = {
    "resnet": Entry(ResNet, pictures(), frozenset({"filters"}), {"linear": "output"}, layers=3),
    "resnet-pad": Entry(
        lambda: ResNet(option="A"),
        pictures(),
        frozenset({"filters"}),
        {"linear": "output"},
        layers=3,
    ),
    "resnext": Entry(resnext, pictures(), frozenset({"filters"}), {"8": "output"}, layers=2),
}
