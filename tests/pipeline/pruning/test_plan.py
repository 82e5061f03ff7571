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

from edgewright.files import pretty_json
from pipeline import network as networks
from pipeline.pruning.filters import find_groups, keep_all
from pipeline.pruning.plan import Keep, PlanMismatch, PruningPlan, Remove, replay
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
    groups, _ = find_groups(net, nets.pictures())
    plan.actions += keep_all((group, list(range(0, group.channels, 2))) for group in groups)
    return plan


@pytest.fixture(scope="module")
def plan() -> PruningPlan:
    return _plan()


def test_plan_goes_through_json_unchanged(plan: PruningPlan) -> None:
    text = pretty_json(plan.to_json())
    assert PruningPlan.from_json(json.loads(text)) == plan
    assert pretty_json(PruningPlan.from_json(json.loads(text)).to_json()) == text


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


@pytest.mark.parametrize(
    ("other", "module", "says"),
    [("flat", "blocks.0", "is not there"), ("mobile", "blocks.0", "is not there")],
)
def test_replay_on_another_architecture_names_the_module(plan: PruningPlan, other: str, module: str, says: str) -> None:
    with pytest.raises(PlanMismatch, match=says) as caught:
        replay(plan, nets.make(other))
    assert repr(module) in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Keep("conv1", "out", (0, 1), 32), "'conv1' has 16 channels on its out side where the plan counts 32"),
        (Keep("conv2", "in", (0, 1), 24), "'conv2' has 16 channels on its in side where the plan counts 24"),
        (Keep("conv1", "out", (), 16), "'conv1' can't keep 0 of its 16 channels"),
        (Keep("conv1", "out", (0, 16), 16), "'conv1' can't keep 2"),
        (Keep("conv1", "out", (-1, 0), 16), "'conv1' can't keep 2"),
        (Keep("conv3", "out", (0,), 16), "'conv3' is not there"),
        (Remove("nowhere.0"), "'nowhere.0' is not there"),
    ],
)
def test_replay_of_an_action_that_does_not_fit_names_the_module(action: Any, says: str) -> None:
    with pytest.raises(PlanMismatch) as caught:
        replay(PruningPlan([action]), nets.make("flat"))
    assert says in str(caught.value)


def test_replay_refuses_layers_that_cannot_be_cut() -> None:
    with pytest.raises(PlanMismatch, match="'2' is a Conv2d, which can't be cut"):
        replay(PruningPlan([Keep("2", "out", (0, 1), 16)]), nets.make("grouped"))
    with pytest.raises(PlanMismatch, match=r"'1\.norm' is a LayerNorm, which can't be cut"):
        replay(PruningPlan([Keep("1.norm", "out", (0, 1), 16)]), nets.make("layer_norm"))


@pytest.mark.parametrize(
    "content",
    [
        {}, {"schema": "edgewright-pruning/9", "actions": []}, {"schema": "edgewright-pruning/1"},
        {"schema": "edgewright-pruning/1", "actions": [{"kind": "melt", "module": "x"}]},
        {"schema": "edgewright-pruning/1", "actions": [{"kind": "keep", "module": "x"}]},
        {"schema": "edgewright-pruning/1", "actions": [3]},
    ],
)  # fmt: skip
def test_from_json_of_what_is_no_plan_is_refused(content: Any) -> None:
    with pytest.raises(PlanMismatch, match="no pruning plan"):
        PruningPlan.from_json(content)
