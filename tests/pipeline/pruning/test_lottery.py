"""Lottery tickets: what is left has the values of the start, what is gone stays gone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewright.progress import Silent
from models.architectures.resnet import resnet8
from pipeline.network import weights_of
from pipeline.pruning.lottery import reinitialised, rewound
from pipeline.pruning.plan import Action, Cut, PlanMismatch, PruningPlan, Remove, Rows, Zeros, replay
from pipeline.pruning.sparsity import share_of_zeros, sparsify
from pipeline.training import train
from tests.pipeline.training.runs import run_of, small

# Four of the eight channels of `small`, whose pictures are flattened into the linear layer.
KEPT = (0, 2, 3, 7)
CUT: list[Action] = [
    Cut("0.weight", 0, KEPT, 8), Cut("0.bias", 0, KEPT, 8),
    *(Cut(f"1.{name}", 0, KEPT, 8) for name in ("weight", "bias", "running_mean", "running_var")),
    Cut("5.weight", 1, tuple(64 * channel + place for channel in KEPT for place in range(64)), 512),
]  # fmt: skip


def trained(network: nn.Module, seed: int = 0) -> nn.Module:
    """Other values everywhere, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator) + 0.1)
    return network


def test_rewound_structure_has_the_surviving_values_of_the_start() -> None:
    start, network, plan = small(), trained(small()), PruningPlan(CUT)
    replay(plan, network)
    rewound(network, start, plan)
    was, now = start.state_dict(), network.state_dict()
    assert torch.equal(now["0.weight"], was["0.weight"][list(KEPT)])
    assert torch.equal(now["1.running_mean"], was["1.running_mean"][list(KEPT)])
    assert torch.equal(now["5.weight"].view(4, 4, 64), was["5.weight"].view(4, 8, 64)[:, list(KEPT)])
    assert torch.equal(now["5.bias"], was["5.bias"])


def test_rewound_zeros_stay_zero_and_the_others_go_back() -> None:
    start, network = small(), trained(small())
    sparsify(network, 0.8)
    zeros = network.get_parameter("5.weight") == 0
    assert 0.5 < float(zeros.float().mean()) < 1
    plan = PruningPlan([Zeros("5.weight", "unstructured", int(zeros.sum()), zeros.numel())])
    rewound(network, start, plan)
    after, before = network.get_parameter("5.weight"), start.get_parameter("5.weight")
    assert torch.equal(after, torch.where(zeros, torch.zeros(()), before))
    assert torch.equal(network.get_parameter("0.weight"), start.get_parameter("0.weight"))  # not in the plan: not held


def test_rewound_after_structure_and_zeros_and_rows_and_layers() -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(10, 4)
            self.layer = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(self.words(x)).mean(1))

    start = Text()
    network = trained(copy.deepcopy(start))
    plan = PruningPlan([Rows("words", (0, 4, 7), 10, 0), Remove("layer"), Zeros("head.weight", "unstructured", 1, 8)])
    replay(plan, network)
    with torch.no_grad():
        network.get_parameter("head.weight")[1, 2] = 0
    rewound(network, start, plan)
    tokens = torch.tensor([[4, 7, 0]])
    with torch.no_grad():
        weight = start.head.weight.clone()
        weight[1, 2] = 0
        wanted = nn.functional.linear(start.words(tokens).mean(1), weight, start.head.bias)
        assert torch.allclose(network(tokens), wanted, atol=1e-6)


def test_rewound_leaves_the_original_alone_and_its_own_copy_of_the_values() -> None:
    start, network, plan = small(), trained(small()), PruningPlan(CUT)
    replay(plan, network)
    before = weights_of(start)
    rewound(network, start, plan)
    trained(network)
    assert weights_of(start) == before


def test_rewound_by_another_plan_is_refused_and_changes_nothing() -> None:
    network = trained(small())
    replay(PruningPlan(CUT), network)
    before = weights_of(network)
    with pytest.raises(PlanMismatch, match=r"'0\.weight' differs"):
        rewound(network, small(), PruningPlan())
    with pytest.raises(PlanMismatch):
        rewound(network, resnet8(), PruningPlan(CUT))
    assert weights_of(network) == before


def test_ticket_that_is_trained_again_keeps_its_zeros(tmp_path: Path) -> None:
    run = run_of()
    start = copy.deepcopy(run.network)
    train(run, tmp_path / "first", Silent())
    plan = PruningPlan(list(sparsify(run.network, 0.8)))
    zeros = {name: run.network.get_parameter(name) == 0 for name in plan.zeroed}
    rewound(run.network, start, plan)
    run.masks = plan.zeroed
    train(run, tmp_path / "again", Silent())
    assert zeros and all((run.network.get_parameter(name)[gone] == 0).all() for name, gone in zeros.items())
    assert share_of_zeros(run.network, plan.zeroed) == pytest.approx(0.8, abs=0.01)


def test_reinitialised_draws_anew_by_the_seed_and_keeps_the_zeros() -> None:
    def control(seed: int) -> nn.Module:
        network = trained(small())
        sparsify(network, 0.5)
        state = torch.get_rng_state()
        reinitialised(network, seed)
        assert torch.equal(torch.get_rng_state(), state)
        return network

    network = trained(small())
    sparsify(network, 0.5)
    one, same, other = control(1), control(1), control(2)
    assert weights_of(one) == weights_of(same) != weights_of(other)
    for name in ("0.weight", "5.weight"):
        was, now = network.get_parameter(name), one.get_parameter(name)
        assert torch.equal(was == 0, now == 0)
        assert not (was == now)[was != 0].any()
    fan_in = 512
    assert float(one.get_parameter("5.weight").detach().abs().max()) <= fan_in**-0.5  # nn.Linear's own draw
    assert torch.equal(one.get_buffer("1.running_mean"), torch.zeros(8))
    assert torch.equal(one.get_parameter("1.weight"), torch.ones(8))


def test_reinitialised_parameters_of_their_own_keep_mean_and_spread() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positions = nn.Parameter(torch.randn(100, 40) * 0.3 + 2)
            self.scale = nn.Parameter(torch.ones(1))
            self.steps = nn.Parameter(torch.arange(4), requires_grad=False)

    network = Own()
    before = network.positions.detach().clone()
    reinitialised(network, 3)
    assert not (network.positions == before).any()
    assert float(network.positions.detach().mean()) == pytest.approx(2, abs=0.05)
    assert float(network.positions.detach().std()) == pytest.approx(0.3, abs=0.02)
    assert float(network.scale.detach()) == 1
    assert network.steps.tolist() == [0, 1, 2, 3]


def test_reinitialised_leaves_the_word_to_a_module_that_knows_better() -> None:
    class Knows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def reset_parameters(self) -> None:
            nn.init.constant_(self.inner.weight, 5.0)

    network = nn.Sequential(Knows())
    reinitialised(network, 1)
    assert (network.get_parameter("0.inner.weight") == 5).all()
