"""What may go of one trained network: layers that can be left out, and how many units each group may keep.

The layers that are left, their widths and what they cost are counted from the coupling's axes, without cutting
anything, so that an allocation can look at thousands of choices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.pruning.groups import Group, Size

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.costs.layers import Layer, Operation

STEPS = 8
"""Widths that a group may have: multiples of the target's alignment, at most this many of them, evenly spread."""


class NothingToRemove(EdgewrightError):
    """A network of which no layer, channel, head or neuron can go."""


@dataclass(frozen=True)
class Choice:
    """Layers that go, and units that stay by group, named as in the unshrunk network; others stay whole."""

    remove: tuple[str, ...] = ()
    widths: tuple[tuple[str, int], ...] = ()

    @property
    def nothing(self) -> bool:
        return not (self.remove or self.widths)

    def to_json(self) -> dict[str, Any]:
        # Pairs: JSON is written with sorted keys, and the order is part of a choice.
        return {"remove": list(self.remove), "widths": [list(one) for one in self.widths]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Choice:
        return cls(tuple(content["remove"]), tuple((name, width) for name, width in content["widths"]))


@dataclass
class Space:
    """layers: names of those that can go, in forward order; groups: those that can be narrowed; options: their widths
    from whole to least; operations: what it runs, traced; tensors: shapes of all parameters; rows: rows that each
    embedding keeps where those that the data never uses go."""

    layers: list[str]
    groups: list[Group]
    options: dict[str, list[int]]
    operations: list[Operation]
    tensors: dict[str, tuple[int, ...]]
    rows: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name = {group.name: group for group in self.groups}
        # tensor, axis > (group, positions of that axis that one unit has)
        self._axes: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for group in self.groups:
            for axis in group.axes:
                self._axes.setdefault((axis.tensor, axis.axis), []).append((group.name, len(axis.indices[0])))

    def tidy(self, choice: Choice) -> Choice:
        """The same without what says nothing: groups that go with their layers, or that keep all that they have."""
        order = [group.name for group in self.groups]
        left = {
            name: width
            for name, width in choice.widths
            if width < self._by_name[name].units and self.name_without(name, choice.remove) is not None
        }
        kept = tuple(name for name in self.layers if name in choice.remove)
        return Choice(kept, tuple((name, left[name]) for name in order if name in left))

    def name_without(self, group: str, removed: Iterable[str]) -> str | None:
        """What a group is called once these layers are gone; None where nothing of it is left to narrow.

        A group has the name of the first module that makes its units.
        """
        gone = tuple(removed)
        found = self._by_name[group]
        if not any(_under(found.name.partition("#")[0], name) for name in gone):
            return found.name
        made = [axis.tensor for axis in found.axes if axis.makes and self._is_matrix(axis.tensor)]
        left = [tensor for tensor in made if not any(_under(tensor, name) for name in gone)]
        first = min(left, key=list(self.tensors).index, default=None)
        return None if first is None else first.rpartition(".")[0] or first

    def named(self, choice: Choice) -> dict[str, int]:
        """Widths as a recipe's `shrink.widths` says them: by the groups' names after `remove`."""
        found = {self.name_without(name, choice.remove): width for name, width in choice.widths}
        return {name: width for name, width in found.items() if name is not None}

    def left(self, choice: Choice) -> list[Layer]:
        """The layers that run, as they are after the choice."""
        from pipeline.costs.layers import layers_after

        return layers_after(self.operations, self.groups, dict(choice.widths), choice.remove)

    def size(self, choice: Choice) -> Size:
        """Parameters, MACs and bytes (float32 parameters) after the choice."""
        params = sum(self._params(choice).values())
        return Size(params, sum(layer.macs for layer in self.left(choice)), 4 * params)

    def embedded(self, choice: Choice) -> int:
        """Parameters of the embeddings whose unused rows go, after the choice."""
        return sum(left for tensor, left in self._params(choice).items() if tensor.rpartition(".")[0] in self.rows)

    def _params(self, choice: Choice) -> dict[str, int]:
        """By tensor, what is left of it."""
        widths, found = dict(choice.widths), {}
        for tensor, sizes in self.tensors.items():
            if any(_under(tensor, name) for name in choice.remove):
                continue
            left = [self._left(tensor, axis, size, widths) for axis, size in enumerate(sizes)]
            if (rows := self.rows.get(tensor.rpartition(".")[0])) is not None:
                left[0] = min(left[0], rows)
            found[tensor] = math.prod(left)
        return found

    def _left(self, tensor: str, axis: int, size: int, widths: Mapping[str, int]) -> int:
        for group, each in self._axes.get((tensor, axis), ()):
            if group in widths:
                size -= (self._by_name[group].units - widths[group]) * each
        return size

    def _is_matrix(self, tensor: str) -> bool:
        return len(self.tensors.get(tensor, ())) > 1


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def find_space(network: nn.Module, example: tuple[Tensor, ...], alignment: int, skip: Sequence[str] = ()) -> Space:
    """The space of a network (trained or not), which stays as it is. example: a batch of two or more samples.

    skip: modules to leave alone, by the start of their names. Raises NotTraceable, NothingToRemove.
    """
    import copy

    from pipeline.costs.tracing import trace
    from pipeline.pruning.coupling import find_structure, prepare
    from pipeline.pruning.layers import find_layers

    found, left = find_layers(network, example)
    net = copy.deepcopy(network).eval()
    prepare(net)
    structure = find_structure(net, example)
    layers = [name for name in found if not any(_under(name, one) for one in skip)]
    groups = [group for group in structure.groups if not any(_under(group.name, one) for one in skip)]
    tensors = {name: tuple(value.shape) for name, value in net.named_parameters()}
    options = {group.name: widths_of(group, alignment) for group in groups}
    groups = [group for group in groups if len(options[group.name]) > 1]
    if not layers and not groups:
        reasons = "; ".join(f"{one.module}: {one.reason}" for one in [*structure.left, *left][:6])
        raise NothingToRemove(
            "No layer, channel, head or neuron of this network can go",
            where=reasons or "every one of them is needed",
            remedy="./inv deploy --target T --model M quantises it and measures what that brings",
        )
    operations = trace(net, tuple(one[:1] for one in example))
    return Space(layers, groups, options, operations, tensors)


def widths_of(group: Group, alignment: int) -> list[int]:
    """Units that a group may keep: all of them, then multiples of the alignment in channels, down to about an eighth.

    A head counts as one, whatever its width.
    """
    channels = 1 if group.kind == "heads" else max(len(indices) for indices in group.axes[0].indices)
    step = 1 if group.kind == "heads" else max(1, alignment // math.gcd(alignment, channels))
    if group.kind != "heads" and step >= group.units > 8:
        step = max(1, step // 2)
    fine = list(range(step, group.units, step))
    least = max(1, group.units // 8)
    fine = [width for width in fine if width >= least]
    if len(fine) > STEPS - 1:
        fine = sorted({fine[round(place * (len(fine) - 1) / (STEPS - 2))] for place in range(STEPS - 1)})
    return [group.units, *reversed(fine)]
