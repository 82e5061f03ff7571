"""Pruning plans: readable JSON that rebuilds the same smaller network anywhere, and refuses another one."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgewright.files import pretty_json
from pipeline import network as networks
from pipeline.pruning.coupling import find_structure
from pipeline.pruning.groups import Axis, Count, Group
from pipeline.pruning.plan import Cut, PlanMismatch, PruningPlan, Remove, Rows, Set, Swap, Zeros, actions_for, replay
from tests.pipeline import nets

REBUILD = """
import hashlib, json, sys
from pathlib import Path
import torch
from pipeline import network
from pipeline.pruning.plan import PruningPlan, replay
from tests.pipeline import nets

folder = Path(sys.argv[1])
net = nets.make("resnet", seed=99)  # other weights and statistics than the ones that are loaded
replay(PruningPlan.from_json(json.loads((folder / network.PLAN).read_bytes())), net)
network.load_weights(net, folder / network.WEIGHTS)
torch.set_num_threads(1)
with torch.no_grad():
    print(hashlib.sha256(net.eval()(nets.pictures()).numpy().tobytes()).hexdigest())
"""


def _plan() -> PruningPlan:
    """A block of the resnet goes, then every second channel of what is left."""
    net = nets.make("resnet")
    plan = PruningPlan([Remove("blocks.0")])
    replay(plan, net)
    groups = find_structure(net, (nets.pictures(),)).groups
    plan.actions += actions_for((group, list(range(0, group.units, 2))) for group in groups)
    return plan


@pytest.fixture(scope="module")
def plan() -> PruningPlan:
    return _plan()


def test_plan_goes_through_json_unchanged(plan: PruningPlan) -> None:
    plan = PruningPlan(
        [*plan.actions, Swap("a", "heads"), Set("a", "num_heads", 2, 4), Set("b", "shape", 2, 4, 1),
         Rows("e", (0, 2), 9, 0), Zeros("w", "2:4", 8, 16)]
    )  # fmt: skip
    text = pretty_json(plan.to_json())
    assert PruningPlan.from_json(json.loads(text)) == plan
    assert pretty_json(PruningPlan.from_json(json.loads(text)).to_json()) == text
    assert plan.zeroed == ["w"]


def test_plan_is_the_same_when_made_again(plan: PruningPlan) -> None:
    assert _plan() == plan


def test_replay_from_json_and_safetensors_in_a_fresh_process_gives_the_same_outputs(
    plan: PruningPlan, tmp_path: Path, project_root: Path
) -> None:
    net = nets.make("resnet")
    replay(plan, net)
    networks.keep(net, plan, tmp_path)
    torch.set_num_threads(1)
    with torch.no_grad():
        expected = hashlib.sha256(net.eval()(nets.pictures()).numpy().tobytes()).hexdigest()
    done = subprocess.run(
        [sys.executable, "-c", REBUILD, str(tmp_path)], cwd=project_root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


def test_replay_shares_no_memory_with_the_original(plan: PruningPlan) -> None:
    net = nets.make("resnet")
    before = copy.deepcopy(net.state_dict())
    cut = copy.deepcopy(net)
    replay(plan, cut)
    with torch.no_grad():
        for parameter in cut.parameters():
            parameter.zero_()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("other", ["flat", "mobile"])
def test_replay_on_another_architecture_names_the_module(plan: PruningPlan, other: str) -> None:
    with pytest.raises(PlanMismatch, match="is not there") as caught:
        replay(plan, nets.make(other))
    assert "'blocks.0'" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Cut("conv1.weight", 0, (0, 1), 32), r"'conv1.weight' has the shape [16, 1, 3, 3] where the plan counts 32"),
        (Cut("conv2.weight", 1, (0, 1), 24), "'conv2.weight' has the shape [24, 16, 3, 3] where the plan counts 24"),
        (Cut("conv1.weight", 0, (), 16), "'conv1.weight' can't keep 0 of its 16 positions"),
        (Cut("conv1.weight", 0, (0, 16), 16), "'conv1.weight' can't keep 2"),
        (Cut("conv1.weight", 0, (-1, 0), 16), "'conv1.weight' can't keep 2"),
        (Cut("conv1.weight", 7, (0, 1), 16), "'conv1.weight' has the shape"),
        (Cut("conv3.weight", 0, (0,), 16), "'conv3.weight' is not there"),
        (Cut("conv1.stride", 0, (0,), 16), "'conv1.stride' is a tuple, no tensor"),
        (Set("conv1", "heads", 2, 4), "'conv1' has heads = None where the plan counts 4"),
        (Swap("conv1", "heads"), "'conv1' is a Conv2d, no MultiheadAttention"),
        (Rows("conv1", (0,), 4, 0), "'conv1' is a Conv2d, no embedding"),
        (Zeros("conv9.weight", "unstructured", 1, 2), "'conv9.weight' is not there"),
        (Remove("nowhere.0"), "'nowhere.0' is not there"),
    ],
)
def test_replay_of_an_action_that_does_not_fit_names_its_place(action: Any, says: str) -> None:
    with pytest.raises(PlanMismatch) as caught:
        replay(PruningPlan([action]), nets.make("flat"))
    assert says in str(caught.value)


def test_replay_refuses_a_layer_norm() -> None:
    with pytest.raises(PlanMismatch, match=r"'1\.norm\.weight' belongs to a LayerNorm"):
        replay(PruningPlan([Cut("1.norm.weight", 0, (0, 1), 16)]), nets.make("layer_norm"))


@pytest.mark.parametrize(
    "content",
    [
        {}, {"schema": "edgewright-pruning/9", "actions": []}, {"schema": "edgewright-pruning/2"},
        {"schema": "edgewright-pruning/2", "actions": [{"kind": "melt", "module": "x"}]},
        {"schema": "edgewright-pruning/2", "actions": [{"kind": "cut", "tensor": "x"}]},
        {"schema": "edgewright-pruning/2", "actions": [{"kind": "remove", "module": "x", "more": 1}]},
        {"schema": "edgewright-pruning/2", "actions": [{"kind": "remove", "module": 3}]},
        {"schema": "edgewright-pruning/2",
         "actions": [{"kind": "cut", "tensor": "x", "axis": 0, "kept": ["0"], "of": 2}]},
        {"schema": "edgewright-pruning/2", "actions": [3]},
    ],
)  # fmt: skip
def test_from_json_of_what_is_no_plan_is_refused(content: Any) -> None:
    with pytest.raises(PlanMismatch, match="no pruning plan"):
        PruningPlan.from_json(content)


def test_actions_for_two_groups_that_meet_in_one_axis_cut_it_once() -> None:
    left = Group("left", "filters", 2, (Axis("join.weight", 1, 5, ((0,), (1,)), False),))
    right = Group("right", "filters", 3, (Axis("join.weight", 1, 5, ((2,), (3,), (4,)), False),))
    assert actions_for([(left, [1]), (right, [0, 2])]) == [Cut("join.weight", 1, (1, 2, 4), 5)]


def test_actions_for_heads_set_the_attributes_that_count_them() -> None:
    group = Group(
        "attention", "heads", 4, (Axis("q.weight", 0, 8, ((0, 1), (2, 3), (4, 5), (6, 7)), True),),
        (Count("attention", "heads", 1), Count("attention", "inner", 2), Count("attention", "shape", 1, 0)),
    )  # fmt: skip
    assert actions_for([(group, [0, 3])]) == [
        Cut("q.weight", 0, (0, 1, 6, 7), 8),
        Set("attention", "heads", 2, 4),
        Set("attention", "inner", 4, 8),
        Set("attention", "shape", 2, 4, 0),
    ]


def test_grouped_convolution_cut_to_one_input_a_group_keeps_its_groups() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(8, 2, 1)
    ).eval()
    structure = find_structure(net, (nets.pictures(),))
    replay(PruningPlan(actions_for((group, [0]) for group in structure.groups)), net)
    middle = net[2]
    assert isinstance(middle, nn.Conv2d)
    assert (middle.in_channels, middle.out_channels, middle.groups) == (2, 2, 2)
    assert net(nets.pictures()).shape == (4, 2, 8, 8)
