"""What is seen while a network runs: gates against finite differences, activations against a direct forward run."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.criteria import CRITERIA, NEEDS, MissingEvidence
from pipeline.pruning.evidence import Evidence, see, see_layers
from pipeline.pruning.groups import Axis, Group
from tests.pipeline.pruning.watched import (
    CASES,
    SAMPLES,
    Block,
    Residual,
    Transformer,
    axis,
    case,
    evidence_of,
    needs,
    scaled,
)


@pytest.mark.parametrize("name", CASES)
def test_gates_are_the_slopes_of_each_samples_loss_when_a_unit_is_scaled_where_it_is_read(name: str) -> None:
    network, groups, evidence, x, y = case(name)
    seen = see(network, groups, needs("gates"), evidence)
    network.eval()

    def losses(group: Group, unit: int, factor: float) -> Tensor:
        with torch.no_grad():
            return F.cross_entropy(scaled(network, group, unit, factor)(x), y, reduction="none")

    for group in groups:
        gates = seen[group.name].gates
        assert gates is not None
        for unit in range(group.units):
            slope = (losses(group, unit, 1 + 1e-5) - losses(group, unit, 1 - 1e-5)) / 2e-5
            assert float(gates[unit]) == pytest.approx(float(slope.abs().mean()), rel=1e-4, abs=1e-7)
        assert float(gates.max()) > 1e-3


def test_activations_are_means_over_the_readers_of_a_stream() -> None:
    network, groups, evidence, x, _ = case("residual")
    seen = see(network, groups, needs("activations", "zeros"), evidence)
    assert isinstance(network, Residual)
    network.eval()
    with torch.no_grad():
        first = F.relu(network.norm(network.stem(x)))
        second = F.relu(first + network.inner(first))
        last = F.relu(network.down(second))
    both = torch.stack([first, second])
    expected = {"stem": (both.abs().mean((0, 1, 3, 4)), (both == 0).double().mean((0, 1, 3, 4))),
                "down": (last.abs().mean((0, 2, 3)), (last == 0).double().mean((0, 2, 3)))}  # fmt: skip
    for name, (magnitude, zeros) in expected.items():
        found = seen[name]
        assert found.activations is not None and found.zeros is not None
        torch.testing.assert_close(found.activations, magnitude.float())
        torch.testing.assert_close(found.zeros, zeros.float())
        assert 0 < float(found.zeros.mean()) < 1


def test_activations_of_neurons_and_heads_are_seen_behind_what_follows_them() -> None:
    network, groups, evidence, x, _ = case("transformer")
    seen = see(network, groups, needs("activations"), evidence)
    assert isinstance(network, Transformer)
    caught: list[Tensor] = []
    block = network.eval().one
    block.down.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        network(x)
        y = block.norm(x)
        q, k, v = (layer(y).view(SAMPLES, 7, 3, 2).transpose(1, 2) for layer in (block.q, block.k, block.v))
        mixed = torch.softmax(q @ k.transpose(2, 3) / 2**0.5, dim=-1) @ v
    torch.testing.assert_close(seen["one.up"].activations, caught[0].abs().mean((0, 1)).float())
    torch.testing.assert_close(seen["one.q"].activations, mixed.abs().mean((0, 2, 3)).float())


def test_units_of_a_grouped_convolution_are_the_same_channels_of_every_group() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 4, 1), nn.Conv1d(4, 2, 1, groups=2), nn.Flatten())
    x = torch.randn(6, 1, 5)
    group = Group(
        "0", "filters", 2, (Axis("0.weight", 0, 4, ((0, 2), (1, 3)), True), axis("1.weight", 1, 2, makes=False))
    )
    seen = see(network, [group], needs("activations"), evidence_of(x, torch.zeros(6, dtype=torch.long)))
    made = network[0](x).detach().abs().mean((0, 2))
    torch.testing.assert_close(seen["0"].activations, torch.stack([made[[0, 2]].mean(), made[[1, 3]].mean()]))


class Einsum(nn.Module):
    """The reader is an operation that names no weight as it is."""

    def __init__(self, made_by_layer: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.weight = nn.Parameter(torch.randn(4, 2))
        self.made_by_layer = made_by_layer

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) if self.made_by_layer else torch.einsum("ni,oi->no", x, self.first.weight)
        return torch.einsum("nc,co->no", F.relu_(x), self.weight)


EINSUM = Group("first", "neurons", 4, (axis("first.weight", 0, 4), axis("weight", 0, 4, makes=False)))


def test_units_that_no_known_operation_reads_are_watched_where_they_are_made() -> None:
    torch.manual_seed(0)
    network, x, y = Einsum(), torch.randn(8, 3), torch.zeros(8, dtype=torch.long)
    found = see(network, [EINSUM], needs("activations", "gates"), evidence_of(x, y))["first"]
    made = network.first(x)
    torch.testing.assert_close(found.activations, made.detach().abs().mean(0))
    made.retain_grad()
    F.cross_entropy(F.relu(made) @ network.weight, y, reduction="sum").backward()  # type: ignore[no-untyped-call]
    assert made.grad is not None
    torch.testing.assert_close(found.gates, (made * made.grad).detach().abs().mean(0))


def test_units_that_can_be_watched_nowhere_are_named() -> None:
    network = Einsum(made_by_layer=False)
    evidence = evidence_of(torch.randn(4, 3), torch.zeros(4, dtype=torch.long))
    with pytest.raises(MissingEvidence) as caught:
        see(network, [EINSUM], needs("gates"), evidence)
    assert caught.value.where == "first"


class Layered(nn.Module):
    """Layers that work in place, return tuples and take named arguments, as user code does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = InPlace(), Pair(), Block().double()
        self.narrow = nn.Sequential(nn.Linear(6, 3))
        self.unused = nn.Sequential(nn.Linear(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.first(x.clone()))
        x, _ = self.second(hidden=x, scale=2)
        return self.narrow(self.third(x)).mean(dim=1)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x.clone()) * 0.5
        return x.add_(y)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, scale: int, hidden: Tensor) -> tuple[Tensor, int]:
        return hidden + torch.tanh(self.linear(hidden)) * scale, scale


def layered() -> tuple[Layered, Evidence, Tensor, Tensor]:
    torch.manual_seed(1)
    network, x, y = Layered().double(), torch.randn(SAMPLES, 7, 6).double(), torch.randint(0, 3, (SAMPLES,))
    return network, evidence_of(x, y), x, y


def stages(network: Layered, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Each layer's input and what it adds."""
    first = network.first.linear(x) * 0.5
    a = F.relu(x + first)
    second = torch.tanh(network.second.linear(a)) * 2
    b = a + second
    return {"first": (x, first), "second": (a, second), "third": (b, network.third(b) - b)}


def test_layers_activations_are_what_they_add_to_their_input() -> None:
    network, evidence, x, _ = layered()
    seen = see_layers(network, ["first", "second", "third"], needs("activations", "zeros"), evidence)
    with torch.no_grad():
        for name, (_, added) in stages(network, x).items():
            torch.testing.assert_close(seen[name].activations, added.abs().mean().float().view(1))
            zeros = seen[name].zeros
            assert zeros is not None and zeros.tolist() == [0.0]


def test_layers_gates_are_the_slopes_of_the_loss_when_what_they_add_is_scaled() -> None:
    network, evidence, x, y = layered()
    seen = see_layers(network, ["first", "second", "third"], needs("gates"), evidence)

    def losses(name: str, factor: float) -> Tensor:
        factors = {"first": 1.0, "second": 1.0, "third": 1.0, name: factor}
        with torch.no_grad():
            a = F.relu(x + network.first.linear(x) * 0.5 * factors["first"])
            b = a + torch.tanh(network.second.linear(a)) * 2 * factors["second"]
            c = b + (network.third(b) - b) * factors["third"]
            return F.cross_entropy(network.narrow(c).mean(dim=1), y, reduction="none")

    for name, found in seen.items():
        slope = (losses(name, 1 + 1e-5) - losses(name, 1 - 1e-5)) / 2e-5
        assert found.gates is not None
        assert float(found.gates) == pytest.approx(float(slope.abs().mean()), rel=1e-4)


def test_layers_weights_products_movement_and_start_are_one_row_each() -> None:
    network, evidence, x, y = layered()
    evidence.start = copy.deepcopy(network)
    seen = see_layers(network, ["third", "second"], needs("products", "movement", "start"), evidence)
    assert list(seen) == ["third", "second"]
    for name, found in seen.items():
        module = network.get_submodule(name)
        assert found.products is not None and found.start is not None and found.movement is not None
        assert found.weights.shape == found.products.shape == found.start.shape == found.movement.shape
        assert found.weights.shape == (1, sum(one.numel() for one in module.parameters()))
        slopes = torch.autograd.grad(F.cross_entropy(network(x), y), list(module.parameters()))
        total = sum(
            float((one * slope).abs().sum().detach()) for one, slope in zip(module.parameters(), slopes, strict=True)
        )
        assert float(CRITERIA["taylor"](found)) == pytest.approx(total, rel=1e-4)
        assert float(CRITERIA["displacement"](found)) == 0.0


def test_layer_that_changes_the_shape_is_named() -> None:
    network, evidence, _, _ = layered()
    with pytest.raises(MissingEvidence, match=r"turns \[4, 7, 6\] into \[4, 7, 3\]") as caught:
        see_layers(network, ["first", "narrow"], needs("activations"), evidence)
    assert caught.value.where == "narrow"


def test_layer_that_never_runs_is_named() -> None:
    network, evidence, _, _ = layered()
    with pytest.raises(MissingEvidence) as caught:
        see_layers(network, ["first", "unused"], needs("gates"), evidence)
    assert caught.value.where == "unused"


def test_transformer_encoder_layer_is_seen_past_its_fused_path() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    network = nn.Sequential(layer, nn.Flatten(), nn.Linear(18, 2)).eval()
    x = torch.randn(4, 3, 6)
    seen = see_layers(network, ["0"], needs("activations"), evidence_of(x, torch.zeros(4, dtype=torch.long)))
    torch.testing.assert_close(seen["0"].activations, (layer(x) - x).detach().abs().mean().view(1))


@pytest.mark.parametrize("name", ["multihead", "siamese", "densenet", "gated", "trap-GroupedShuffle"])
def test_found_units_of_a_zoo_network_have_every_score_and_the_gates_of_brute_force(name: str) -> None:
    from tests.zoo import ZOO

    network = ZOO[name].network()
    prepare(network)
    groups = find_structure(network, ZOO[name].samples()).groups
    samples = tuple(one.double() if one.is_floating_point() else one for one in ZOO[name].samples(6))
    network.double()

    def each_loss(network: nn.Module, rows: Tensor) -> Tensor:
        return (network(*(one[rows] for one in samples)).flatten(1) - 0.3).square().mean(dim=1)

    evidence = Evidence(
        lambda network, rows: each_loss(network, rows).mean(),
        lambda rows: tuple(one[rows] for one in samples),
        list(torch.split(torch.arange(6), 4)),
        start=copy.deepcopy(network),
    )
    seen = see(network, groups, frozenset().union(*NEEDS.values()), evidence)
    for group in groups:
        for criterion in CRITERIA.values():
            scores = criterion(seen[group.name])
            assert scores.shape == (group.units,) and bool(torch.isfinite(scores).all())
        gates, last = seen[group.name].gates, group.units - 1
        assert gates is not None
        up, down = (each_loss(scaled(network, group, last, 1 + step), torch.arange(6)) for step in (1e-5, -1e-5))
        slope = float(((up - down) / 2e-5).abs().mean().detach())
        assert float(gates[last]) == pytest.approx(slope, rel=1e-3, abs=1e-7)
