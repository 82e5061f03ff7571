"""Layers and widths that a wish names outright: these go, over several rounds too, and what can't go is named."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from models.architectures.resnet import resnet20
from pipeline.pruning.coupling import find_structure
from pipeline.pruning.schedule import share_gone
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.pruning.shrink import Evidence, Outcome, Wish, shrink

EXAMPLE = (torch.randn(2, 1, 28, 28),)


def _evidence() -> Evidence:
    x = torch.randn(64, 1, 28, 28)
    return Evidence(
        loss_of=lambda net, rows: net(x[rows]).square().mean(),
        inputs_of=lambda rows: (x[rows],),
        batches=[torch.arange(64)],
    )


def _shrunk(wish: Wish, network: nn.Module | None = None) -> tuple[nn.Module, Outcome]:
    original = resnet20().eval()
    network = network or copy.deepcopy(original)
    return network, shrink(network, original, EXAMPLE, wish, _evidence())


def test_named_layers_and_widths_are_what_goes() -> None:
    network, outcome = _shrunk(
        Wish(remove=("blocks.1", "blocks.5"), widths={"blocks.7.conv1": 24, "blocks.0.conv1": 5}, criterion="l1")
    )
    assert outcome.blocks == ["blocks.1", "blocks.5"]
    assert {name: found[1:] for name, found in outcome.units.items()} == {
        "blocks.7.conv1": (64, 24),
        "blocks.0.conv1": (16, 5),
    }
    widths = {group.name: group.units for group in find_structure(network, EXAMPLE).groups}
    assert (widths["blocks.7.conv1"], widths["blocks.0.conv1"], widths["blocks.8.conv1"]) == (24, 5, 64)


def test_named_widths_are_reached_by_degrees() -> None:
    network, seen = resnet20().eval(), []
    for round_ in (1, 2, 3):
        by_now = partial(share_gone, round_=round_, rounds=3)
        wish = Wish(widths={"blocks.7.conv1": 16}, criterion="l1", by_now=by_now, final=round_ == 3)
        _, outcome = _shrunk(wish, network)
        seen.append(outcome.units["blocks.7.conv1"][2])
    assert seen == [48, 32, 16]


@pytest.mark.parametrize(
    ("wish", "where", "said"),
    [
        (Wish(remove=("blocks.3",)), "shrink.remove", "blocks.0, blocks.1"),
        (Wish(remove=("nobody",)), "shrink.remove", "'nobody'"),
        (Wish(widths={"fc": 5}), "shrink.widths", "'fc'"),
        (Wish(widths={"blocks.0.conv1": 17}), "shrink.widths.blocks.0.conv1", "from 1 to 16"),
        (Wish(widths={"blocks.0.conv1": 16}), "shrink.widths", "lower one of them"),
        (Wish(remove=("blocks.0",), widths={"blocks.0.conv1": 8}), "shrink.widths", "'blocks.0.conv1'"),
    ],
)  # fmt: skip
def test_what_cannot_go_is_named_with_what_can(wish: Wish, where: str, said: str) -> None:
    with pytest.raises(ImpossibleRatio) as caught:
        _shrunk(wish)
    assert caught.value.where == where
    assert said in f"{caught.value.what} {caught.value.remedy}"
