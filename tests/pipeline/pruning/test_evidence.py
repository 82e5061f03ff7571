"""What the parameters tell: weights, products and start read off by hand, movement against a loop written out."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.pruning.criteria import CRITERIA, NEEDS, MissingEvidence
from pipeline.pruning.evidence import see, see_layers
from pipeline.pruning.groups import Axis, Group
from tests.pipeline.pruning.watched import CASES, Residual, Transformer, by_hand, case, evidence_of, needs


@pytest.mark.parametrize("name", CASES)
def test_weights_are_all_that_makes_a_unit_and_no_statistics(name: str) -> None:
    network, groups, evidence, _, _ = case(name)
    seen = see(network, groups, needs(), evidence)
    assert list(seen) == [group.name for group in groups]
    for group in groups:
        assert seen[group.name].weights.dtype == torch.float32
        assert torch.equal(seen[group.name].weights, by_hand(group, dict(network.named_parameters())))


def test_units_of_unequal_size_are_filled_up_with_zeros() -> None:
    linear = nn.Linear(1, 3, bias=False)
    network = nn.Sequential(linear)
    group = Group("0", "neurons", 2, (Axis("0.weight", 0, 3, ((2,), (0, 1)), True),))
    seen = see(network, [group], needs(), evidence_of(torch.ones(2, 1), torch.zeros(2, dtype=torch.long)))
    weight = linear.weight.detach().flatten()
    assert seen["0"].weights.tolist() == [[float(weight[2]), 0.0], [float(weight[0]), float(weight[1])]]


@pytest.mark.parametrize("name", CASES)
def test_products_are_weight_times_gradient_of_the_mean_loss_of_makers_and_readers(name: str) -> None:
    network, groups, evidence, x, y = case(name)
    seen = see(network, groups, needs("products"), evidence)
    alone = copy.deepcopy(network).eval()
    F.cross_entropy(alone(x), y).backward()  # type: ignore[no-untyped-call]
    products = {key: (one * one.grad).detach() for key, one in alone.named_parameters() if one.grad is not None}
    for group in groups:
        found = seen[group.name].products
        assert found is not None
        touched = replace(group, axes=tuple(replace(axis, makes=True) for axis in group.axes))
        torch.testing.assert_close(found, by_hand(touched, products))
        assert float(found.abs().max()) > 1e-5


@pytest.mark.parametrize("name", CASES)
def test_movement_is_that_of_sgd_written_out(name: str) -> None:
    network, groups, evidence, _, _ = case(name)
    evidence.learning_rate = 0.5
    seen = see(network, groups, needs("movement"), evidence)
    tuned = copy.deepcopy(network).eval()
    sgd = torch.optim.SGD(tuned.parameters(), lr=0.5)
    total = {key: torch.zeros_like(one) for key, one in tuned.named_parameters()}
    for rows in evidence.batches:
        sgd.zero_grad()
        evidence.loss_of(tuned, rows).backward()  # type: ignore[no-untyped-call]
        for key, one in tuned.named_parameters():
            if one.grad is not None:
                total[key] -= one.grad * one.detach()
        sgd.step()
    for group in groups:
        found = seen[group.name].movement
        assert found is not None
        torch.testing.assert_close(found, by_hand(group, total))


@pytest.mark.parametrize("name", CASES)
def test_network_is_left_exactly_as_found(name: str) -> None:
    network, groups, evidence, _, _ = case(name)
    evidence.start = copy.deepcopy(network)
    frozen = next(iter(network.parameters())).requires_grad_(False)
    held = list(network.parameters())[-1]
    held.grad = torch.ones_like(held)
    next(iter(network.children())).eval()
    modes = [module.training for module in network.modules()]
    state = copy.deepcopy(network.state_dict())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    see(network, groups, frozenset().union(*NEEDS.values()), evidence)
    assert torch.equal(torch.rand(1), expected)
    assert [module.training for module in network.modules()] == modes
    assert not frozen.requires_grad
    assert [one.requires_grad for one in network.parameters()].count(False) == 1
    assert held.grad is not None and bool((held.grad == 1).all())
    assert all(one.grad is None for one in network.parameters() if one is not held)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_network_is_left_as_found_when_the_loss_fails_half_way() -> None:
    network, _, evidence, _, _ = case("transformer")
    good, network.get_parameter("head.weight").requires_grad = evidence.loss_of, False

    def failing(network: nn.Module, rows: Tensor) -> Tensor:
        if len(rows) < 4:
            raise ArithmeticError("half way")
        return good(network, rows)

    evidence.loss_of = failing
    with pytest.raises(ArithmeticError, match="half way"):
        see_layers(network, ["one"], needs("gates"), evidence)
    assert network.training
    assert not network.get_parameter("head.weight").requires_grad
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_frozen_parameters_have_evidence_too() -> None:
    network, groups, evidence, _, _ = case("residual")
    free = see(network, groups, needs("products", "movement", "gates"), evidence)
    network.requires_grad_(False)
    frozen = see(network, groups, needs("products", "movement", "gates"), evidence)
    for name in free:
        for field in ("products", "movement", "gates"):
            assert torch.equal(getattr(free[name], field), getattr(frozen[name], field))
    assert not any(one.requires_grad for one in network.parameters())


def test_start_gives_the_weights_of_the_network_before_training() -> None:
    network, groups, evidence, _, _ = case("residual")
    evidence.start = Residual()
    seen = see(network, groups, NEEDS["displacement"], evidence)
    for group in groups:
        found = seen[group.name].start
        assert found is not None and torch.equal(found, by_hand(group, dict(evidence.start.named_parameters())))


@pytest.mark.parametrize(
    ("criterion", "change", "words"),
    [
        ("displacement", {"start": None}, "before the training"),
        ("displacement", {"start": nn.Sequential()}, "'stem.weight' is not there"),
        ("displacement", {"start": nn.ModuleDict({"stem": nn.Conv2d(2, 3, 3)})}, "has the shape [3, 2, 3, 3]"),
        ("taylor", {"batches": []}, "no training samples"),
        ("movement", {"batches": [torch.arange(0)]}, "no training samples"),
        ("activation", {"batches": []}, "no training samples"),
        ("taylor", {"loss_of": lambda network, rows: torch.zeros(())}, "no gradient"),
        ("movement", {"loss_of": lambda network, rows: torch.ones((), requires_grad=True) * 2}, "no gradient"),
        ("taylor-gate", {"loss_of": lambda network, rows: network(torch.ones(2, 2, 6, 6).double())}, "shape is [2, 5]"),
    ],
)  # fmt: skip
def test_missing_evidence_says_what_is_missing(criterion: str, change: dict[str, object], words: str) -> None:
    network, groups, evidence, _, _ = case("residual")
    for key, value in change.items():
        setattr(evidence, key, value)
    with pytest.raises(MissingEvidence) as caught:
        see(network, groups, NEEDS[criterion], evidence)
    assert words in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("criterion", CRITERIA)
def test_same_seed_gives_the_same_scores_twice(criterion: str) -> None:
    scores = []
    for _ in range(2):
        network, groups, evidence, _, _ = case("transformer")
        evidence.start = Transformer().double()  # case() seeds the generator
        seen = see(network, groups, NEEDS[criterion], evidence)
        scores.append(torch.cat([CRITERIA[criterion](seen[group.name]) for group in groups]))
    assert torch.equal(*scores)
    assert bool(torch.isfinite(scores[0]).all())


def test_random_scores_of_equal_groups_differ_and_follow_the_evidences_seed() -> None:
    network, groups, evidence, _, _ = case("transformer")
    first = see(network, groups, needs(), evidence)
    evidence.seed = 1
    second = see(network, groups, needs(), evidence)
    draw = CRITERIA["random"]
    assert not torch.equal(draw(first["one.up"]), draw(first["two.up"]))
    assert not torch.equal(draw(first["one.up"]), draw(second["one.up"]))
