"""Residual blocks: which can go, which can't and why, and what their importance says."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures.resnet import resnet20
from pipeline import network as networks
from pipeline.pruning.blocks import block_scores, find_blocks
from pipeline.pruning.criteria import CRITERIA
from pipeline.pruning.plan import PruningPlan, Remove, replay
from tests.pipeline import nets


def test_blocks_of_a_resnet_are_found_and_those_with_a_shortcut_convolution_kept_with_the_reason() -> None:
    removable, kept = find_blocks(resnet20(stem_stride=1), nets.pictures())
    assert removable == [f"blocks.{place}" for place in (0, 1, 2, 4, 5, 7, 8)]
    assert [block.module for block in kept] == ["blocks.3", "blocks.6"]
    assert kept[0].reason == "it changes the shape, [4, 16, 8, 8] to [4, 32, 4, 4]"


@pytest.mark.parametrize("name", ["vgg", "flat", "concat", "grouped"])
def test_blocks_of_a_network_without_residuals_are_none(name: str) -> None:
    assert find_blocks(nets.make(name), nets.pictures()) == ([], [])


def test_blocks_with_pre_activation_are_found() -> None:
    assert find_blocks(nets.make("pre_activation"), nets.pictures())[0] == ["1", "2"]


def test_block_scaled_before_the_sum_is_not_mistaken_for_a_product() -> None:
    class Gate(nn.Module):
        """Multiplies its input by what it computes: an identity would not do in its place."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(16, 16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(self.conv(x))

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(x)

    net = nn.Sequential(nn.Conv2d(1, 16, 1), Outer())
    assert find_blocks(net, nets.pictures()) == ([], [])


@pytest.mark.parametrize(("name", "block"), [("resnet", "blocks.0"), ("pre_activation", "2")])
def test_removed_block_is_gone_from_weights_and_macs(name: str, block: str) -> None:
    net, x = nets.make(name), nets.pictures()
    before = networks.measure(net, x[:1])
    gone = sum(parameter.numel() for parameter in net.get_submodule(block).parameters())
    replay(PruningPlan([Remove(block)]), net)
    after = networks.measure(net, x[:1])
    assert after.params == before.params - gone
    assert after.macs < before.macs
    assert not any(key.startswith(f"{block}.") for key in net.state_dict())
    assert net(x).shape == (4, 10)


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_scores_put_a_block_that_does_nothing_last(criterion: str) -> None:
    net = nets.make("pre_activation")
    idle = cast(nn.Conv2d, net.get_submodule("1.conv2"))
    nn.init.zeros_(idle.weight)
    x, y = nets.pictures(32), torch.arange(32) % 10
    batches = list(torch.split(torch.arange(32), 8))
    scores = block_scores(
        net, ["1", "2"], CRITERIA[criterion], lambda rows: F.cross_entropy(net(x[rows]), y[rows]), batches
    )
    assert scores["1"] == 0.0
    assert scores["2"] > 0.0
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
