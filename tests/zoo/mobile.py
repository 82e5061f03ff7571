"""Networks for phones: MobileNetV2 (Sandler et al. 2018) and V3 (Howard et al. 2019), written as torchvision does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures


class ConvNormActivation(nn.Sequential):
    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, activation: type[nn.Module] | None
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if activation is not None:
            layers.append(activation(inplace=True))
        super().__init__(*layers)


class InvertedResidual(nn.Module):
    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = round(inp * expand_ratio)
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(ConvNormActivation(inp, hidden, 1, 1, 1, nn.ReLU6))
        layers += [
            ConvNormActivation(hidden, hidden, 3, stride, hidden, nn.ReLU6),
            nn.Conv2d(hidden, oup, 1, 1, 0, bias=False),
            nn.BatchNorm2d(oup),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        features: list[nn.Module] = [ConvNormActivation(3, 8, 3, 2, 1, nn.ReLU6)]
        for inp, oup, stride, expand in ((8, 8, 1, 1), (8, 16, 2, 4), (16, 16, 1, 4)):
            features.append(InvertedResidual(inp, oup, stride, expand))
        features.append(ConvNormActivation(16, 32, 1, 1, 1, nn.ReLU6))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        x = torch.flatten(x, 1)
        return self.classifier(x)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.activation(self.fc1(self.avgpool(x)))
        return self.scale_activation(self.fc2(scale)) * x


class InvertedResidualV3(nn.Module):
    def __init__(self, inp: int, hidden: int, oup: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and inp == oup
        self.block = nn.Sequential(
            ConvNormActivation(inp, hidden, 1, 1, 1, activation),
            ConvNormActivation(hidden, hidden, 5, stride, hidden, activation),
            SqueezeExcitation(hidden, 8),
            ConvNormActivation(hidden, oup, 1, 1, 1, None),
        )

    def forward(self, x: Tensor) -> Tensor:
        result = self.block(x)
        if self.use_res_connect:
            result += x
        return result


class MobileNetV3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvNormActivation(3, 8, 3, 2, 1, nn.Hardswish),
            InvertedResidualV3(8, 16, 8, 1, nn.ReLU),
            InvertedResidualV3(8, 24, 16, 2, nn.Hardswish),
            InvertedResidualV3(16, 32, 16, 1, nn.Hardswish),
            ConvNormActivation(16, 32, 1, 1, 1, nn.Hardswish),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(32, 24), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(24, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


_FILTERS = frozenset({"filters"})

ENTRIES = {
    "mobilenetv2": Entry(MobileNetV2, pictures(), _FILTERS, {"classifier.1": "output"}, layers=2),
    "mobilenetv3": Entry(MobileNetV3, pictures(), _FILTERS | {"neurons"}, {"classifier.3": "output"}, layers=2),
}
