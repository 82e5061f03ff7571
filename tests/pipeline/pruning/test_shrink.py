"""One round of pruning from wish to smaller network: what it promises, composes and refuses."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.architectures.resnet import resnet20
from pipeline import network as networks
from pipeline.pruning.plan import PlanMismatch, PruningPlan, replay
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.pruning.shrink import Evidence, Outcome, Wish, shrink
from tests.pipeline import nets

WISH = Wish(blocks=0.0, filters=0.5, criterion="l1", ranking="local", min_width=4, alignment=8)


def _shrink(net: nn.Module, original: nn.Module, wish: Wish) -> Outcome:
    x, y = nets.pictures(64), torch.arange(64) % 10
    evidence = Evidence(lambda rows: F.cross_entropy(net(x[rows]), y[rows]), list(torch.split(torch.arange(64), 16)))
    return shrink(net, original, x[:2], wish, evidence)


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
@pytest.mark.parametrize("ranking", ["local", "global"])
@pytest.mark.parametrize("name", ["mobile", "concat", "flat"])
def test_shrink_makes_the_network_really_smaller_and_aligned(name: str, ranking: str, criterion: str) -> None:
    net, x = nets.make(name), nets.pictures()
    original = copy.deepcopy(net)
    outcome = _shrink(net, original, dataclasses.replace(WISH, ranking=ranking, criterion=criterion))
    before, after = networks.measure(original, x[:1]), networks.measure(net, x[:1])
    assert outcome.channels
    assert after.params < before.params
    assert after.macs < before.macs
    for key, (was, now) in outcome.channels.items():
        assert now < was
        assert now % 8 == 0, key
    assert net(x).shape == (4, 10)
    # The plan tells it all: the original cut by it has the same tensors.
    replay(PruningPlan(outcome.actions), original)
    assert {key: value.shape for key, value in original.state_dict().items()} == {
        key: value.shape for key, value in net.state_dict().items()
    }


def test_shrink_by_a_higher_ratio_leaves_no_more() -> None:
    sizes = []
    for filters in (0.2, 0.4, 0.6, 0.8):
        net = nets.make("resnet")
        _shrink(net, copy.deepcopy(net), dataclasses.replace(WISH, filters=filters, alignment=4))
        sizes.append(networks.measure(net, nets.pictures(1)).params)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_shrink_in_two_rounds_composes_into_one_plan_from_the_original() -> None:
    torch.manual_seed(0)
    original = resnet20(widths=(16, 16, 32), stem_stride=1).eval()
    net, plan = copy.deepcopy(original), PruningPlan()
    for share in (0.5, 1.0):
        wish = dataclasses.replace(WISH, blocks=0.6 * share, filters=0.5 * share, criterion="taylor", alignment=4)
        outcome = _shrink(net, original, wish)
        assert outcome.blocks
        assert outcome.channels
        plan.actions += outcome.actions
    assert sum(action.kind == "remove" for action in plan.actions) == round(0.6 * 7)
    again = copy.deepcopy(original)
    replay(PruningPlan.from_json(plan.to_json()), again)
    x = nets.pictures()
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
    assert networks.measure(net, x[:1]).params < networks.measure(original, x[:1]).params / 3


def test_shrink_early_round_that_is_too_small_to_take_anything_takes_nothing() -> None:
    torch.manual_seed(0)
    original = resnet20(widths=(16, 16, 32), stem_stride=1).eval()
    net = copy.deepcopy(original)
    early = dataclasses.replace(WISH, blocks=0.05, filters=0.05, final=False)
    assert _shrink(net, original, early).actions == []
    assert networks.measure(net, nets.pictures(1)) == networks.measure(original, nets.pictures(1))


@pytest.mark.parametrize(("name", "module"), [("grouped", "0"), ("layer_norm", "0")])
def test_shrink_says_what_it_left_alone(name: str, module: str) -> None:
    net = nets.make(name)
    outcome = _shrink(net, copy.deepcopy(net), WISH)
    assert module in outcome.left_alone
    assert outcome.channels


def test_shrink_keeps_batch_statistics_and_leaves_no_gradient() -> None:
    net = nets.make("resnet")
    before = copy.deepcopy(net.state_dict())
    outcome = _shrink(net, copy.deepcopy(net), dataclasses.replace(WISH, criterion="taylor"))
    assert all(parameter.grad is None for parameter in net.parameters())
    cut = {action.module: action for action in outcome.actions if action.kind == "keep" and action.side == "out"}
    kept = torch.tensor(cut["norm"].kept)
    assert torch.equal(net.state_dict()["norm.running_mean"], before["norm.running_mean"][kept])


@pytest.mark.parametrize(
    ("name", "wish", "says"),
    [
        ("resnet", {"blocks": 0.1, "filters": 0.0}, "of 1 removable residual blocks is none"),
        ("vgg", {"blocks": 0.5, "filters": 0.0}, "of 0 removable residual blocks is none"),
        ("resnet", {"filters": 0.9, "min_width": 16}, "leaves fewer than min_width = 16 channels in every group"),
        ("resnet", {"filters": 0.05, "alignment": 16}, "rounded to multiples of 16, takes no channel"),
        ("resnet", {"filters": 0.5, "alignment": 64}, "takes no channel"),
    ],
)
def test_shrink_impossible_ratio_names_the_key_and_a_way_out(name: str, wish: dict[str, float], says: str) -> None:
    net = nets.make(name)
    with pytest.raises(ImpossibleRatio) as caught:
        _shrink(net, copy.deepcopy(net), dataclasses.replace(WISH, **wish))  # type: ignore[arg-type]
    assert says in caught.value.what
    assert caught.value.where.startswith("shrink.")
    assert caught.value.remedy


def test_shrink_where_no_channel_can_be_cut_gives_the_reasons() -> None:
    net = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ImpossibleRatio, match="No channel") as caught:
        _shrink(net, copy.deepcopy(net), WISH)
    assert "0: its channels are the network's outputs" in caught.value.where


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_shrink_cuts_frozen_layers_like_any_other_and_leaves_them_frozen(criterion: str) -> None:
    net, free = nets.make("flat"), nets.make("flat")
    net.get_submodule("conv1").requires_grad_(False)
    wish = dataclasses.replace(WISH, criterion=criterion)
    assert _shrink(net, copy.deepcopy(net), wish).actions == _shrink(free, copy.deepcopy(free), wish).actions
    assert {name for name, parameter in net.named_parameters() if not parameter.requires_grad} == {
        "conv1.weight", "conv1.bias",
    }  # fmt: skip


def test_replay_of_a_resnets_plan_on_a_narrower_resnet_is_refused() -> None:
    net = nets.make("resnet")
    outcome = _shrink(net, copy.deepcopy(net), WISH)
    torch.manual_seed(0)
    other = resnet20(widths=(8, 8, 16), stem_stride=1)
    with pytest.raises(PlanMismatch, match="where the plan counts"):
        replay(PruningPlan(outcome.actions), other)
