"""MobileNetV2 for small pictures: widths, strides, shortcuts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.architectures.mobilenetv2 import InvertedResidual, mobilenetv2


def test_mobilenetv2_has_the_parameters_it_says() -> None:
    network = mobilenetv2()
    assert sum(parameter.numel() for parameter in network.parameters()) == 198_506
    assert network.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.4])
def test_mobilenetv2_of_any_width_has_channels_in_eights(width: float) -> None:
    network = mobilenetv2(width=width)
    widths = {module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert all(count % 8 == 0 for count in widths)
    assert network.eval()(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_inverted_residual_adds_what_came_in_only_where_the_shapes_agree() -> None:
    for inputs, outputs, stride, adds in ((8, 8, 1, True), (8, 16, 1, False), (8, 8, 2, False)):
        block = InvertedResidual(inputs, outputs, stride, 2).eval()
        nn.init.zeros_(block.narrow.weight)
        x = torch.randn(1, inputs, 6, 6)
        out = block(x)
        assert out.shape == (1, outputs, 6 // stride, 6 // stride)
        torch.testing.assert_close(out, x if adds else torch.zeros_like(out))
