"""Which layers go: criteria that don't count a layer's size, and the metric that a skipped layer costs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.pruning.criteria import CRITERIA, MissingEvidence
from pipeline.pruning.depth import layer_scores, least_important
from pipeline.pruning.evidence import Evidence
from pipeline.pruning.selection import ImpossibleRatio

ROWS = torch.arange(24)


class Adds(nn.Module):
    """x + down(relu(up(x))), `width` wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, width), nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(x)))


def stack(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(Adds(width) for width in widths), nn.Linear(8, 4)).eval()


def evidence_of(net: nn.Module, seed: int = 0) -> Evidence:
    x = torch.randn(len(ROWS), 8, generator=torch.Generator().manual_seed(1))
    y = ROWS % 4

    def accuracy(net: nn.Module) -> float:
        with torch.no_grad():
            return float((net(x).argmax(1) == y).float().mean())

    start = stack(*(layer.up.out_features for layer in list(net)[:-1]))  # type: ignore[call-overload]
    with torch.no_grad():
        for parameter in start.parameters():
            parameter.mul_(0.9)
    return Evidence(
        lambda net, rows: F.cross_entropy(net(x[rows]), y[rows]), lambda rows: (x[rows],),
        list(torch.split(ROWS, 8)), start=start, metric_of=accuracy, seed=seed,
    )  # fmt: skip


def _fill(layer: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(value)


@pytest.mark.parametrize("criterion", ["l1", "l2", "taylor", "taylor-gate", "activation"])
def test_layer_that_does_nothing_goes_first(criterion: str) -> None:
    net = stack(16, 16, 16)
    _fill(net[1], 0.0)
    scores = layer_scores(net, ["0", "1", "2"], criterion, evidence_of(net))
    assert scores["1"] == 0.0 < min(scores["0"], scores["2"])
    assert least_important(net, ["0", "1", "2"], 1, criterion, "criterion", evidence_of(net)) == ["1"]


@pytest.mark.parametrize(("criterion", "one", "other"), [("l1", 0.25, 0.5), ("l2", 0.25, 0.5)])
def test_layer_scores_of_weights_count_per_number(criterion: str, one: float, other: float) -> None:
    net = stack(512, 8)
    _fill(net[0], one)
    _fill(net[1], -other)
    assert layer_scores(net, ["0", "1"], criterion, evidence_of(net)) == pytest.approx({"0": one, "1": other}, rel=1e-4)


def test_layer_scores_of_displacement_count_per_number() -> None:
    net = stack(512, 8)
    # The network from before training has 0.9 times these weights.
    means = [float(torch.cat([p.detach().flatten() for p in net[place].parameters()]).abs().mean()) for place in (0, 1)]
    scores = layer_scores(net, ["0", "1"], "displacement", evidence_of(net))
    assert scores == pytest.approx({"0": 0.1 * means[0], "1": 0.1 * means[1]}, rel=1e-3)


def test_layer_scores_of_the_gate_predict_the_loss_without_the_layer() -> None:
    """A layer scaled down so far that the loss is linear in it: its gate's derivative is the change of the loss."""
    net = stack(16, 16)
    with torch.no_grad():
        net[1].down.weight.mul_(1e-3)  # type: ignore[operator, union-attr]
        net[1].down.bias.mul_(1e-3)  # type: ignore[operator, union-attr]
    given = evidence_of(net)
    one = [torch.tensor([5])]
    single = Evidence(given.loss_of, given.inputs_of, one)
    score = layer_scores(net, ["1"], "taylor", single)["1"]
    with torch.no_grad():
        change = given.loss_of(nn.Sequential(net[0], net[2]), one[0]) - given.loss_of(net, one[0])
    assert score == pytest.approx(abs(float(change)), rel=0.02)


def test_layer_scores_of_random_differ_from_layer_to_layer_and_follow_the_seed() -> None:
    net = stack(16, 16, 16)
    found = [layer_scores(net, ["0", "1", "2"], "random", evidence_of(net, seed)) for seed in (0, 0, 1)]
    assert len(set(found[0].values())) == 3
    assert found[0] == found[1] != found[2]


def test_layer_scores_of_fpgm_find_the_layer_that_others_are_like() -> None:
    net = stack(16, 16, 16, 16)
    for place, value in enumerate((0.1, 0.2, 0.25, 0.9)):
        _fill(net[place], value)
    scores = layer_scores(net, ["0", "1", "2", "3"], "fpgm", evidence_of(net))
    assert max(scores, key=lambda name: scores[name]) == "3"
    assert min(scores, key=lambda name: scores[name]) in ("1", "2")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_layer_scores_of_every_criterion_are_finite_and_one_a_layer(criterion: str) -> None:
    net = stack(16, 8, 24)
    scores = layer_scores(net, ["0", "1", "2"], criterion, evidence_of(net))
    assert list(scores) == ["0", "1", "2"]
    assert all(torch.isfinite(torch.tensor(score)) for score in scores.values())


def test_layer_scores_of_nan_weights_name_the_layer() -> None:
    net = stack(16, 16)
    _fill(net[1], float("nan"))
    with pytest.raises(ImpossibleRatio) as caught:
        layer_scores(net, ["0", "1"], "l1", evidence_of(net))
    assert caught.value.where == "1"


def test_least_important_by_metric_are_judged_anew_after_each_is_gone() -> None:
    """Two layers that undo each other: without one of them all is wrong, without both nothing is."""
    net = stack(8, 8, 8)
    given = evidence_of(net)
    calls: list[tuple[bool, ...]] = []
    # What each set of layers that are left is worth, made so that a ranking by single losses takes 0 and 1.
    worth = {
        (True, True, True): 0.9, (False, True, True): 0.8, (True, False, True): 0.7, (True, True, False): 0.6,
        (False, False, True): 0.1, (False, True, False): 0.5,
    }  # fmt: skip

    def metric(net: nn.Module) -> float:
        there = tuple(next(layer.parameters(), None) is not None for layer in list(net)[:3])  # type: ignore[call-overload]
        calls.append(there)
        return worth[there]  # type: ignore[index]

    given.metric_of = metric
    assert least_important(net, ["0", "1", "2"], 2, "l1", "metric", given) == ["0", "2"]
    assert calls == [
        (False, True, True), (True, False, True), (True, True, False), (False, False, True), (False, True, False),
    ]  # fmt: skip


def test_least_important_by_the_real_metric_is_the_layer_that_does_nothing() -> None:
    net = stack(16, 16, 16)
    given = evidence_of(net)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        given.loss_of(net, ROWS).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    _fill(net[1], 0.0)
    assert given.metric_of is not None
    before = given.metric_of(net)
    assert least_important(net, ["0", "1", "2"], 1, "l1", "metric", given) == ["1"]
    assert given.metric_of(net) == before  # the network itself still has it


def test_least_important_by_metric_without_one_says_so() -> None:
    net = stack(8, 8)
    given = evidence_of(net)
    given.metric_of = None
    with pytest.raises(MissingEvidence, match="no metric") as caught:
        least_important(net, ["0", "1"], 1, "l1", "metric", given)
    assert "layer_importance" in caught.value.remedy
