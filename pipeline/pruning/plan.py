"""What pruning did, as data: readable actions that rebuild the smaller network from the original (rule 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from edgewright.errors import EdgewrightError
from pipeline.pruning import surgery
from pipeline.pruning.surgery import CantCut

if TYPE_CHECKING:
    from torch import nn

    from pipeline.pruning.groups import Group

SCHEMA = "edgewright-pruning/2"


class PlanMismatch(EdgewrightError):
    """A plan replayed on a network that it was not made for."""


@dataclass(frozen=True)
class Cut:
    """Positions that stay along one axis of one tensor. kept: indices of `of`; the module's own counts follow."""

    kind: ClassVar[str] = "cut"
    tensor: str
    axis: int
    kept: tuple[int, ...]
    of: int


@dataclass(frozen=True)
class Set:
    """A counting attribute of a module, e.g. num_heads from 6 to 3. place: index where the attribute is a tuple."""

    kind: ClassVar[str] = "set"
    module: str
    attribute: str
    value: int
    was: int
    place: int | None = None


@dataclass(frozen=True)
class Remove:
    """A module that goes: what it was given first passes through."""

    kind: ClassVar[str] = "remove"
    module: str


@dataclass(frozen=True)
class Swap:
    """A module that becomes one of the same weights and outputs that can be cut. by: a name of surgery.SWAPS."""

    kind: ClassVar[str] = "swap"
    module: str
    by: str


@dataclass(frozen=True)
class Rows:
    """An embedding that keeps the rows `kept` of `of`; other numbers read the row of `unknown` (an old number)."""

    kind: ClassVar[str] = "rows"
    module: str
    kept: tuple[int, ...]
    of: int
    unknown: int


@dataclass(frozen=True)
class Zeros:
    """A weight whose zeros are held: `zeros` of `of` numbers. pattern: unstructured or 2:4. The shape stays."""

    kind: ClassVar[str] = "zeros"
    tensor: str
    pattern: str
    zeros: int
    of: int


Action = Cut | Set | Remove | Swap | Rows | Zeros
_KINDS: dict[str, type[Action]] = {cls.kind: cls for cls in (Cut, Set, Remove, Swap, Rows, Zeros)}


@dataclass
class PruningPlan:
    """Actions in the order in which they were taken; indices count in the network as it was then."""

    actions: list[Action] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "actions": [{"kind": one.kind, **asdict(one)} for one in self.actions]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PruningPlan:
        """Raises PlanMismatch where `content` is no plan of this schema."""
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is {content['schema']!r}")
            return cls([_action(entry) for entry in content["actions"]])
        except (KeyError, TypeError, ValueError) as error:
            raise PlanMismatch(
                f"This is no pruning plan: {error}", remedy=f"give a plan of the schema {SCHEMA}"
            ) from error

    @property
    def zeroed(self) -> list[str]:
        """Names of the weights whose zeros are held."""
        return list(dict.fromkeys(action.tensor for action in self.actions if isinstance(action, Zeros)))


def _action(entry: Mapping[str, Any]) -> Action:
    cls = _KINDS.get(entry["kind"])
    if cls is None:
        raise ValueError(f"unknown action {entry['kind']!r}")
    given: dict[str, Any] = {key: tuple(value) if key == "kept" else value for key, value in entry.items()}
    del given["kind"]
    for one in fields(cls):
        if not _fits(given.get(one.name, one.default), str(one.type)):
            raise ValueError(f"{entry['kind']} has {one.name} = {given.get(one.name, 'nothing')!r}, not {one.type}")
    return cls(**given)


def _fits(value: Any, type_: str) -> bool:
    if type_.startswith("tuple"):
        return isinstance(value, tuple) and all(type(one) is int for one in value)
    return (value is None and "None" in type_) or type(value) is (str if type_ == "str" else int)


def actions_for(choice: Iterable[tuple[Group, list[int]]]) -> list[Action]:
    """The plan's actions that leave each group with the units `kept` (sorted).

    Where two groups meet in one axis (a concatenation), it is cut once.
    """
    stays: dict[tuple[str, int], tuple[set[int], int]] = {}
    counts: list[Action] = []
    for group, kept in choice:
        keep = set(kept)
        for axis in group.axes:
            gone = {index for unit, indices in enumerate(axis.indices) if unit not in keep for index in indices}
            left, _ = stays.setdefault((axis.tensor, axis.axis), (set(range(axis.size)), axis.size))
            left -= gone
        for count in group.counts:
            value, was = len(keep) * count.per_unit, group.units * count.per_unit
            counts.append(Set(count.module, count.attribute, value, was, count.place))
    # Outputs before inputs: a grouped convolution cut to one input a group would look depthwise from then on.
    tensors = list(dict.fromkeys(tensor for tensor, _ in stays))
    order = sorted(stays, key=lambda key: (tensors.index(key[0]), key[1]))
    return [*(Cut(*key, tuple(sorted(stays[key][0])), stays[key][1]) for key in order), *counts]


def replay(plan: PruningPlan, network: nn.Module) -> None:
    """Makes `network` smaller in place: tensors are sliced and the attributes that count channels and heads updated.

    Raises PlanMismatch where a module or tensor is not there, of another size, or of a kind that can't be cut.
    """
    for action in plan.actions:
        try:
            _carry_out(action, network)
        except (CantCut, AttributeError) as error:
            name = getattr(action, "module", None) or getattr(action, "tensor", "")
            what = str(error) if isinstance(error, CantCut) else "is not there"
            raise PlanMismatch(
                f"{name!r} {what}",
                where="replay of a pruning plan",
                remedy="replay it on the architecture that it was made for",
            ) from error


def _carry_out(action: Action, network: nn.Module) -> None:
    if isinstance(action, Cut):
        surgery.cut(network, action.tensor, action.axis, action.kept, action.of)
    elif isinstance(action, Set):
        surgery.set_count(network, action.module, action.attribute, action.value, action.was, action.place)
    elif isinstance(action, Remove):
        surgery.remove(network, action.module)
    elif isinstance(action, Swap):
        surgery.swap(network, action.module, action.by)
    elif isinstance(action, Rows):
        surgery.keep_rows(network, action.module, action.kept, action.of, action.unknown)
    else:
        surgery.find_tensor(network, action.tensor)
