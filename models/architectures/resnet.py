"""Residual networks for small images, in the CIFAR form of He et al. 2016 (arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, inputs, H, W] float32 to [N, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of basic blocks that halve the image, average pooling, one linear layer.

    Input [N, channels, H, W] float32, output logits [N, classes] float32.
    """

    def __init__(
        self, blocks: Sequence[int], widths: Sequence[int], channels: int, classes: int, stem_stride: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, stem_stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        layers: list[nn.Module] = []
        inputs = widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            for place in range(count):
                layers.append(BasicBlock(inputs, width, 2 if stage > 0 and place == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = self.blocks(x)
        # adaptive_avg_pool2d, not mean([2, 3]): converters then keep the layout without a transpose.
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def resnet8(widths: Sequence[int] = (16, 32, 64), channels: int = 1, classes: int = 10, stem_stride: int = 2) -> ResNet:
    """ResNet-8, one block a stage: 77,754 parameters in its default form."""
    return ResNet((1, 1, 1), widths, channels, classes, stem_stride)


def resnet20(
    widths: Sequence[int] = (16, 32, 64), channels: int = 1, classes: int = 10, stem_stride: int = 2
) -> ResNet:
    """ResNet-20, three blocks a stage: 272,186 parameters in its default form."""
    return ResNet((3, 3, 3), widths, channels, classes, stem_stride)
