"""A residual network and a transformer with groups written by hand, and evidence for them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.pruning.evidence import Evidence
from pipeline.pruning.groups import Axis, Group

SAMPLES = 10


class Residual(nn.Module):
    """A stream of 4 channels that two convolutions read, then one of 3 channels, flattened into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, 1, 1)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 4, 3, 1, 1)
        self.down = nn.Conv2d(4, 3, 3, 2, 1)
        self.head = nn.Linear(3 * 3 * 3, 5)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(x + self.inner(x))
        x = F.relu_(self.down(x))
        return self.head(self.drop(x.flatten(1)))


class Block(nn.Module):
    """A transformer block with 3 heads of 2, whose output projection is a plain function's weight, and an MLP of 5."""

    def __init__(self, sequence_first: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.q, self.k, self.v = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.out_weight = nn.Parameter(torch.randn(6, 6) * 0.4)
        self.up, self.down = nn.Linear(6, 5), nn.Linear(5, 6)
        self.sequence_first = sequence_first

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y).unflatten(-1, (3, 2)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        if self.sequence_first:
            x = x + F.linear(mixed.transpose(0, 1), self.out_weight).transpose(0, 1)
        else:
            x = x + F.linear(mixed, self.out_weight)
        return x + self.down(F.gelu(self.up(x)))


class Transformer(nn.Module):
    def __init__(self, sequence_first: bool = False) -> None:
        super().__init__()
        self.one, self.two = Block(), Block(sequence_first)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x)).mean(dim=1))


def each(count: int, size: int = 1) -> tuple[tuple[int, ...], ...]:
    """Unit u owns `size` positions in a row."""
    return tuple(tuple(range(u * size, u * size + size)) for u in range(count))


def axis(tensor: str, number: int, count: int, size: int = 1, makes: bool = True) -> Axis:
    return Axis(tensor, number, count * size, each(count, size), makes)


STREAM = Group(
    "stem", "filters", 4,
    (
        axis("stem.weight", 0, 4), axis("stem.bias", 0, 4), axis("norm.weight", 0, 4), axis("norm.bias", 0, 4),
        axis("norm.running_mean", 0, 4), axis("inner.weight", 0, 4), axis("inner.bias", 0, 4),
        axis("inner.weight", 1, 4, makes=False), axis("down.weight", 1, 4, makes=False),
    ),
)  # fmt: skip
FLAT = Group("down", "filters", 3, (axis("down.weight", 0, 3), axis("down.bias", 0, 3),
                                    axis("head.weight", 1, 3, 9, makes=False)))  # fmt: skip


def heads(block: str) -> Group:
    made = [axis(f"{block}.{layer}.{leaf}", 0, 3, 2) for layer in "qkv" for leaf in ("weight", "bias")]
    return Group(f"{block}.q", "heads", 3, (*made, axis(f"{block}.out_weight", 1, 3, 2, makes=False)))


def neurons(block: str) -> Group:
    made = [axis(f"{block}.up.weight", 0, 5), axis(f"{block}.up.bias", 0, 5)]
    return Group(f"{block}.up", "neurons", 5, (*made, axis(f"{block}.down.weight", 1, 5, makes=False)))


CASES: dict[str, tuple[Callable[[], nn.Module], list[Group]]] = {
    "residual": (Residual, [STREAM, FLAT]),
    "transformer": (Transformer, [heads("one"), neurons("one"), heads("two"), neurons("two")]),
    "sequence first": (lambda: Transformer(sequence_first=True), [heads("two")]),
}


def case(name: str) -> tuple[nn.Module, list[Group], Evidence, Tensor, Tensor]:
    """A network in double precision, its groups, evidence of batches of 4, 4 and 2, and the data."""
    torch.manual_seed(7)
    make, groups = CASES[name]
    network = make().double().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    shape = (SAMPLES, 2, 6, 6) if name == "residual" else (SAMPLES, 7, 6)
    x, y = torch.randn(*shape, dtype=torch.float64), torch.randint(0, 4, (SAMPLES,))
    return network, groups, evidence_of(x, y), x, y


def evidence_of(x: Tensor, y: Tensor) -> Evidence:
    return Evidence(
        loss_of=lambda network, rows: F.cross_entropy(network(x[rows]), y[rows]),
        inputs_of=lambda rows: (x[rows],),
        batches=list(torch.split(torch.arange(len(x)), 4)),
    )


def needs(*names: str) -> frozenset[str]:
    return frozenset(names)


def by_hand(group: Group, tensors: dict[str, Tensor]) -> Tensor:
    """What makes each unit, one number after the other."""
    rows = []
    for unit in range(group.units):
        numbers: list[Tensor] = []
        for one in group.axes:
            if one.makes and "running" not in one.tensor:
                for index in one.indices[unit]:
                    numbers.append(tensors[one.tensor].select(one.axis, index).flatten())
        rows.append(torch.cat(numbers))
    return torch.stack(rows).detach().float()


def scaled(network: nn.Module, group: Group, unit: int, factor: float) -> nn.Module:
    """A copy in which one unit is multiplied by `factor` in all its readers: brute force for a gate."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        for one in group.axes:
            for index in () if one.makes else one.indices[unit]:
                made.get_parameter(one.tensor).select(one.axis, index).mul_(factor)
    return made
