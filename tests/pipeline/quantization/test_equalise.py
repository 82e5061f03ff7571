"""Cross-layer equalisation: exact in float, better in INT8, and hands off where a scale can't pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.distillation import logits_of
from pipeline.quantization.equalise import GAIN_DB, equalise
from tests.pipeline import nets

X, OTHERS = nets.pictures(64, seed=3), nets.pictures(64, seed=5)


class Uneven(nn.Module):
    """Convolution, depthwise convolution and another, whose channels differ by a factor of a thousand."""

    def __init__(self, activation: object = F.relu) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(1, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.deep, self.norm2 = nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16)
        self.last, self.head = nn.Conv2d(16, 24, 1), nn.Linear(24, 10)
        self.activation = activation
        with torch.no_grad():
            for norm in (self.norm1, self.norm2):
                norm.weight.copy_(torch.logspace(-2, 1, 16))
                norm.bias.copy_(norm.weight * 0.3)
            # What reads the small channels weighs them up again, so that they matter.
            self.deep.weight.mul_(torch.logspace(2, -1, 16).view(16, 1, 1, 1))
            self.last.weight.mul_(torch.logspace(2, -1, 16).view(1, 16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.first(x)))  # type: ignore[operator]
        x = self.activation(self.norm2(self.deep(x)))  # type: ignore[operator]
        return self.head(F.relu(self.last(x)).mean([2, 3]))


def uneven(activation: object = F.relu) -> nn.Module:
    torch.manual_seed(0)
    return Uneven(activation).eval()


def test_uneven_channels_are_balanced_and_the_function_stays() -> None:
    net = uneven()
    before = logits_of(net, OTHERS)
    found = equalise(net, X)
    assert found.kept
    assert found.after - found.before > 6
    assert found.scaled["first"] > 3
    assert float((logits_of(net, OTHERS) - before).abs().max()) < 1e-4 * float(before.std())


def test_scale_that_an_activation_does_not_pass_is_not_tried_on_the_user() -> None:
    net = uneven(F.gelu)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    found = equalise(net, X)
    assert "does" in found.left["first"]
    assert "first" not in found.scaled
    assert torch.equal(net.get_parameter("norm1.weight"), weights["norm1.weight"])


def test_residual_stream_of_pre_activation_blocks_is_left_alone() -> None:
    found = equalise(nets.make("pre_activation"), X)
    assert "doesn't pass" in found.left["0"]


def test_even_network_is_left_to_the_bit() -> None:
    net = nets.make("flat")
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    found = equalise(net, X)
    assert found.after - found.before < GAIN_DB
    assert not found.kept
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_zeros_stay_zeros() -> None:
    net = uneven()
    with torch.no_grad():
        net.get_parameter("last.weight")[::2] = 0
    zeros = {name: value == 0 for name, value in net.named_parameters()}
    assert equalise(net, X).kept
    assert all(torch.equal(value == 0, zeros[name]) for name, value in net.named_parameters())
