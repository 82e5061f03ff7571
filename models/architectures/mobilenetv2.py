"""MobileNetV2 for small images: inverted residuals with ReLU6, of Sandler et al. 2018 (arXiv 1801.04381)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Expansion, channels, blocks, stride of the first block: table 2 of the paper, with its last two stages left out and
# fewer strides, since a picture of 28 x 28 has nothing left to halve there.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 3, 2))
LAST = 192


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Widens by `expansion`, filters each channel by itself, narrows again without an activation.

    [N, inputs, H, W] float32 to [N, outputs, H/stride, W/stride]; what came in is added where the shapes agree.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = convolution(inputs, hidden, 1) if expansion != 1 else nn.Identity()
        self.filter = convolution(hidden, hidden, 3, stride, groups=hidden)
        self.narrow = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.narrow(self.filter(self.expand(x))))
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """A stem, stages of inverted residuals, a 1x1 convolution, average pooling, one linear layer.

    Input [N, channels, H, W] float32, output logits [N, classes] float32.
    """

    def __init__(
        self, stages: Sequence[Sequence[int]], width: float, last: int, channels: int, classes: int, stem_stride: int
    ) -> None:
        super().__init__()
        inputs = _eights(stages[0][1] * width)
        self.stem = convolution(channels, inputs, 3, stem_stride)
        layers: list[nn.Module] = []
        for expansion, count, blocks, stride in stages:
            outputs = _eights(count * width)
            for place in range(blocks):
                layers.append(InvertedResidual(inputs, outputs, stride if place == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*layers)
        # As in the paper, a narrower network keeps its last layer's width.
        self.last = convolution(inputs, _eights(last * max(1.0, width)), 1)
        self.head = nn.Linear(_eights(last * max(1.0, width)), classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.blocks(self.stem(x)))
        # adaptive_avg_pool2d, not mean([2, 3]): converters then keep the layout without a transpose.
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def _eights(width: float) -> int:
    """The nearest multiple of 8, at least 8: widths that convolution kernels like."""
    return max(8, int(width + 4) // 8 * 8)


def mobilenetv2(
    classes: int = 10,
    channels: int = 1,
    width: float = 1.0,
    stem_stride: int = 2,
    stages: Sequence[Sequence[int]] = STAGES,
    last: int = LAST,
) -> MobileNetV2:
    """MobileNetV2 with nine inverted residuals; `stages` are (expansion, channels, blocks, stride)."""
    return MobileNetV2(stages, width, last, channels, classes, stem_stride)
