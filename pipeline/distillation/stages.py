"""Where a student and a teacher look at the same thing: pairs of modules whose outputs have the same positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import Tensor, nn

_QUARTERS = 4


class NoStages(EdgewrightError):
    """No outputs of student and teacher match, or named ones don't."""


@dataclass(frozen=True)
class Stage:
    """One pair of modules. channels: (student's, teacher's); axis: where both have their channels (1, or 2: tokens)."""

    student: str
    teacher: str
    channels: tuple[int, int]
    axis: int


@dataclass(frozen=True)
class _Seen:
    """A module's output [B, ...] on a real batch. axis: of the channels; whole: made in no block of another size."""

    name: str
    shape: tuple[int, ...]
    axis: int
    whole: bool = True

    @property
    def positions(self) -> tuple[int, ...]:
        return tuple(size for place, size in enumerate(self.shape) if place not in (0, self.axis))

    @property
    def channels(self) -> int:
        return self.shape[self.axis]


def find_stages(student: nn.Module, teacher: nn.Module, x: Tensor, named: Sequence[Sequence[str]] = ()) -> list[Stage]:
    """The pairs `named` (student's module, teacher's module), or all that match by themselves. x: samples [N, ...].

    Pictures [B, C, H, W] (and signals [B, C, L] of networks with nn.Conv1d): for each size that both have, the last
    module output of that size. Tokens [B, T, D]: the layers at a quarter, half, three quarters and all of the depth.
    Raises NoStages.
    """
    seen, known = _outputs(student, x), _outputs(teacher, x)
    if named:
        return [_named(str(one), str(other), seen, known) for one, other in named]
    found = [*_by_size(seen, known), *_by_depth(_layers(student, seen), _layers(teacher, known))]
    if not found:
        raise NoStages(
            "No stage of the student has the positions of one of the teacher",
            where=f"student: {_sizes(seen)}; teacher: {_sizes(known)}",
            remedy='name them, stages = [["student module", "teacher module"]], or set transfer = "none"',
        )
    return found


def first_tensor(output: Any) -> Tensor | None:
    """A module's output, or the first of several."""
    import torch

    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def _outputs(network: nn.Module, x: Tensor) -> list[_Seen]:
    """All outputs of three or four axes, in the order in which they are made; a module that runs twice counts last."""
    import torch
    from torch import nn

    signals = any(isinstance(module, nn.Conv1d) for module in network.modules())
    seen: dict[str, _Seen] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None and tensor.is_floating_point() and tensor.dim() in (3, 4):
                seen.pop(name, None)
                seen[name] = _Seen(name, tuple(tensor.shape), 1 if tensor.dim() == 4 or signals else 2)

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network.eval()(x[:2])
    finally:
        for hook in hooks:
            hook.remove()
    return [replace(one, whole=not _inside_another_size(network, one, seen)) for one in seen.values()]


def _inside_another_size(network: nn.Module, one: _Seen, seen: dict[str, _Seen]) -> bool:
    from torch import nn

    parts = one.name.split(".")
    above = [seen.get(".".join(parts[:depth])) for depth in range(1, len(parts))]
    return any(
        outer is not None
        and outer.positions != one.positions
        and not isinstance(network.get_submodule(outer.name), nn.Sequential)
        for outer in above
    )


def _named(one: str, other: str, seen: list[_Seen], known: list[_Seen]) -> Stage:
    for name, outputs, whose in ((one, seen, "student"), (other, known, "teacher")):
        if name not in {output.name for output in outputs}:
            names = ", ".join(output.name for output in outputs[-12:]) or "none"
            raise NoStages(
                f"{name!r} is no module of the {whose} that gives [B, C, H, W], [B, C, L] or [B, T, D]",
                where="shrink.stages",
                remedy=f"name one of its modules that do, such as {names}",
            )
    left = next(output for output in seen if output.name == one)
    right = next(output for output in known if output.name == other)
    if left.axis != right.axis or left.positions != right.positions:
        raise NoStages(
            f"The stages {one!r} {list(left.shape[1:])} and {other!r} {list(right.shape[1:])} have other positions",
            where="shrink.stages",
            remedy="pair stages of the same height and width, or of the same number of tokens",
        )
    return Stage(one, other, (left.channels, right.channels), left.axis)


def _by_size(seen: list[_Seen], known: list[_Seen]) -> list[Stage]:
    """For each size that both have, the last output of that size. A single position says nothing of where to look."""
    # A block that changes the size makes outputs of the old size on its way: those come before the whole ones here.
    last, last_known = (
        {one.positions: one for one in sorted(outputs, key=lambda one: one.whole) if one.axis == 1}
        for outputs in (seen, known)
    )
    return [
        Stage(one.name, last_known[size].name, (one.channels, last_known[size].channels), 1)
        for size, one in last.items()
        if size in last_known and math.prod(size) > 1
    ]


def _by_depth(layers: list[_Seen], known: list[_Seen]) -> list[Stage]:
    if not layers or not known or layers[0].positions != known[0].positions:
        return []
    pairs: dict[str, _Seen] = {}
    for quarter in range(1, _QUARTERS + 1):
        one, other = (side[math.ceil(quarter * len(side) / _QUARTERS) - 1] for side in (layers, known))
        pairs[one.name] = other  # where the student has fewer layers, each one learns from the deepest of its quarters
    by_name = {layer.name: layer for layer in layers}
    return [Stage(name, other.name, (by_name[name].channels, other.channels), 2) for name, other in pairs.items()]


def _layers(network: nn.Module, seen: list[_Seen]) -> list[_Seen]:
    """The transformer's layers: of the modules with parts that give tokens, the siblings that are most."""
    families: dict[str, list[_Seen]] = {}
    for one in seen:
        if one.axis == 2 and next(network.get_submodule(one.name).children(), None) is not None:
            families.setdefault(one.name.rpartition(".")[0], []).append(one)
    if not families:
        return []
    most = max(len(family) for family in families.values())
    # Of equally many the outermost: a layer rather than its only attention.
    largest = [name for name, family in families.items() if len(family) == most]
    parent = min(largest, key=lambda name: len(name.split(".")) if name else 0)
    positions = families[parent][-1].positions
    return [one for one in families[parent] if one.positions == positions]


def _sizes(seen: list[_Seen]) -> str:
    sizes = dict.fromkeys(f"{'x'.join(map(str, one.positions))}{'' if one.axis == 1 else ' tokens'}" for one in seen)
    return ", ".join(sizes) or "nothing of [B, C, H, W] or [B, T, D]"
