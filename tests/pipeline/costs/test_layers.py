"""The layers of a cut network are told without cutting it, as they are found in the network that was really cut."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from models.architectures.mobilenetv2 import mobilenetv2
from models.architectures.resnet import resnet8
from models.architectures.vit import vit_tiny
from pipeline.costs.layers import Layer, layers_after, layers_of
from pipeline.costs.tracing import trace
from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.layers import without
from pipeline.pruning.plan import PruningPlan, actions_for, replay
from tests.zoo import ZOO

PICTURE = (torch.zeros(2, 1, 28, 28),)
OWN: dict[str, Callable[[], nn.Module]] = {"resnet8": resnet8, "mobilenetv2": mobilenetv2, "vit-tiny": vit_tiny}
OF_ZOO = ["resnext", "vit-fused", "encoder-post-norm", "conv1d"]


def _network(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    if name in OWN:
        return OWN[name]().eval(), PICTURE
    return ZOO[name].network(), ZOO[name].inputs(2, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*OWN, *OF_ZOO])
def test_layers_after_a_cut_are_those_of_the_cut_network(name: str) -> None:
    network, example = _network(name)
    prepare(network)
    structure = find_structure(network, example)
    one = tuple(value[:1] for value in example)
    kept = {group.name: max(1, group.units * (3 + place % 3) // 6) for place, group in enumerate(structure.groups)}
    told = layers_after(trace(network, one), structure.groups, kept)
    smaller = copy.deepcopy(network)
    choice = [(group, list(range(kept[group.name]))) for group in structure.groups]
    replay(PruningPlan(actions_for(choice)), smaller)
    assert told == layers_of(smaller, one)
    assert told != layers_of(network, one)


@pytest.mark.parametrize(("name", "removed"), [("resnet8", ["blocks.0"]), ("vit-tiny", ["layers.1"])])
def test_layers_without_a_block_are_those_of_the_shallow_network(name: str, removed: list[str]) -> None:
    network, example = _network(name)
    one = example[0][:1]
    told = layers_after(trace(network, one), [], {}, removed)
    assert told == layers_of(without(network, removed), one)
    assert len(told) < len(layers_of(network, one))


def test_network_is_left_as_it_was() -> None:
    network = resnet8().train()
    before = copy.deepcopy(network.state_dict())
    layers_of(network, PICTURE[0][:1])
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_resnet8_has_its_convolutions_sums_pool_and_head() -> None:
    layers = layers_of(resnet8(), PICTURE[0][:1])
    assert [layer.kind for layer in layers].count("conv") == 9
    assert [layer.kind for layer in layers].count("add") == 3
    assert layers[0] == Layer("conv", 1, 16, (14, 14), (3, 3), (2, 2))
    assert layers[-2:] == [Layer("pool", 64, 64, (16,)), Layer("linear", 64, 10, (1,))]


def test_macs_add_up_to_those_of_torchs_own_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = mobilenetv2().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(PICTURE[0][:1])
    assert sum(layer.macs for layer in layers_of(network, PICTURE[0][:1])) == counter.get_total_flops() // 2


def test_layer_comes_back_from_json() -> None:
    for layer in layers_of(vit_tiny(), PICTURE[0][:1]):
        assert Layer.from_json(layer.to_json()) == layer


@pytest.mark.parametrize(
    "broken", [{"kind": "magic", "inputs": 1, "outputs": 1}, {"kind": "conv", "inputs": 0, "outputs": 1}]
)
def test_impossible_layer_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown kind|less than 1"):
        Layer.from_json(broken)
