"""Groups of channels: what is cut is what was masked, the outputs stay, and what can't be cut has a reason."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from pipeline import network as networks
from pipeline.pruning.filters import Group, find_groups, keep_all
from pipeline.pruning.plan import PruningPlan, replay
from tests.pipeline import nets


def _kept(group: Group, seed: int) -> list[int]:
    """A scattered half of a group's channels."""
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(group.channels, generator=generator)[: group.channels // 2].tolist())


def _silenced(net: nn.Module, group: Group, kept: list[int]) -> None:
    """Whatever reads a removed channel reads it with weight 0, in the network as it was."""
    for member in group.members:
        if member.side == "in":
            weight: Tensor = net.get_submodule(member.module).weight  # type: ignore[assignment]
            for channel in set(range(group.channels)) - set(kept):
                weight.data[:, list(member.indices[channel])] = 0


@pytest.mark.parametrize("name", nets.CUTTABLE)
def test_cut_network_equals_the_masked_one(name: str) -> None:
    net, x = nets.make(name), nets.pictures()
    groups, _ = find_groups(net, x)
    assert groups
    masked, cut = copy.deepcopy(net), copy.deepcopy(net)
    choice = [(group, _kept(group, place)) for place, group in enumerate(groups)]
    for group, kept in choice:
        _silenced(masked, group, kept)
    replay(PruningPlan([*keep_all(choice)]), cut)
    with torch.no_grad():
        expected, got, whole = masked(x), cut(x), net(x)
    assert torch.allclose(got, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(got, whole, atol=1e-2)  # the masks did silence something
    before, after = networks.measure(net, x[:1]), networks.measure(cut, x[:1])
    assert after.params < before.params * 0.8
    assert after.macs < before.macs * 0.8


@pytest.mark.parametrize("name", nets.CUTTABLE)
def test_cut_network_counts_its_own_channels(name: str) -> None:
    net, x = nets.make(name), nets.pictures()
    choice = [(group, list(range(1, group.channels))) for group in find_groups(net, x)[0]]
    replay(PruningPlan([*keep_all(choice)]), net)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            assert list(module.weight.shape[:2]) == [module.out_channels, module.in_channels // module.groups]
        elif isinstance(module, nn.Linear):
            assert list(module.weight.shape) == [module.out_features, module.in_features]
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert len(module.weight) == len(module.running_mean) == module.num_features


@pytest.mark.parametrize("name", nets.NETS)
def test_groups_never_hold_the_networks_outputs(name: str) -> None:
    net, x = nets.make(name), nets.pictures()
    groups, left = find_groups(net, x)
    last = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    assert all((member.module, member.side) != (last, "out") for group in groups for member in group.members)
    assert {one.module: one.reason for one in left}[last] == "its channels are the network's outputs"


def test_groups_finding_leaves_the_network_as_it_was() -> None:
    net, x = nets.make("mobile"), nets.pictures()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    find_groups(net, x)
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_groups_couple_what_residual_adds_and_depthwise_layers_share() -> None:
    groups, _ = find_groups(nets.make("mobile"), nets.pictures())
    found = {frozenset((member.module, member.side) for member in group.members) for group in groups}
    trunk = {"stem": "out", "norm": "out", "project": "out", "norm3": "out", "expand": "in", "head": "in"}
    inner = {"expand": "out", "norm1": "out", "depthwise": "out", "norm2": "out", "project": "in"}
    assert found == {frozenset(trunk.items()), frozenset(inner.items())}


def test_groups_of_a_concat_count_from_the_branchs_offset() -> None:
    groups = {group.name: group for group in find_groups(nets.make("concat"), nets.pictures())[0]}
    join = next(member for member in groups["right"].members if member.module == "join")
    assert join.indices == tuple((channel,) for channel in range(16, 40))


def test_groups_before_a_flatten_take_every_pixel_of_a_channel() -> None:
    groups = {group.name: group for group in find_groups(nets.make("flat"), nets.pictures())[0]}
    hidden = next(member for member in groups["conv2"].members if member.module == "hidden")
    assert hidden.indices[3] == tuple(range(48, 64))


@pytest.mark.parametrize(
    ("name", "module", "reason"), [("grouped", "0", "a grouped convolution"), ("layer_norm", "0", "LayerNorm")]
)
def test_groups_that_cannot_be_cut_are_left_alone_with_the_reason(name: str, module: str, reason: str) -> None:
    groups, left = find_groups(nets.make(name), nets.pictures())
    assert reason in {one.module: one.reason for one in left}[module]
    # What has nothing to do with it is cut all the same.
    assert [group.name for group in groups] == [{"grouped": "4", "layer_norm": "2"}[name]]
