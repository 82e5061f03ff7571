"""What can be pruned, as data: groups of units (channels, heads, neurons) and where each unit lives in the tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.pruning.costs import Costs

Kind = Literal["filters", "heads", "neurons"]


@dataclass(frozen=True)
class Axis:
    """One tensor's share in a group.

    tensor: its name, as named_parameters() and named_buffers() say it; indices[u]: which of the `size` positions along
    `axis` belong to unit u; makes: the unit's values are made here (rows of weights, biases, norms), else read here.
    """

    tensor: str
    axis: int
    size: int
    indices: tuple[tuple[int, ...], ...]
    makes: bool


@dataclass(frozen=True)
class Count:
    """An attribute that counts what goes, e.g. num_heads: it is `per_unit` for each unit. place: index in a tuple."""

    module: str
    attribute: str
    per_unit: int
    place: int | None = None


@dataclass(frozen=True)
class Group:
    """`units` units that can go one by one, each with everything coupled to it. `name`: the module that makes them."""

    name: str
    kind: Kind
    units: int
    axes: tuple[Axis, ...]
    counts: tuple[Count, ...] = ()


@dataclass(frozen=True)
class LeftAlone:
    """A module whose outputs can't be pruned, and why."""

    module: str
    reason: str


@dataclass(frozen=True)
class Size:
    """params: numbers that are trained; macs: multiply-accumulates of one sample; bytes: of parameters and buffers."""

    params: int
    macs: int
    bytes: int


@dataclass
class Structure:
    """All that was found in one network. Groups are in the order of its modules."""

    groups: list[Group]
    left: list[LeftAlone]
    costs: Costs
    by_name: dict[str, Group] = field(init=False)

    def __post_init__(self) -> None:
        self.by_name = {group.name: group for group in self.groups}

    def size(self, kept: Mapping[str, Sequence[int]]) -> Size:
        """Size of the network where `kept` (group name > units that stay, others stay whole) is all that is left."""
        return self.costs.size(self.groups, kept)
