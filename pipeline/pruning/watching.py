"""Watches a network while it runs: values in which units are read, what a layer adds to its input, rows looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from pipeline.pruning.criteria import MissingEvidence

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.groups import Axis, Group
    from pipeline.pruning.vocabulary import Table

Side = Literal["read", "made"]

# Operations with a weight: the weight's axis that is read and the one that is made, the values' channel dimension.
_OPERATIONS = {
    "linear": (1, 0, -1), "conv1d": (1, 0, -2), "conv2d": (1, 0, -3), "conv3d": (1, 0, -4),
    "conv_transpose1d": (0, 1, -2), "conv_transpose2d": (0, 1, -3), "conv_transpose3d": (0, 1, -4),
    "matmul": (0, 1, -1), "mm": (0, 1, -1), "addmm": (0, 1, -1),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a group's units are in a value's channels: channel places[i] belongs to unit owners[i]."""

    channel_dim: int
    places: Tensor
    owners: Tensor
    units: int

    def sums(self, x: Tensor) -> Tensor:
        """[..., channels] -> [..., units], summed over each unit's channels."""
        total = torch.zeros(*x.shape[:-1], self.units, dtype=x.dtype, device=x.device)
        return total.index_add_(-1, self.owners.to(x.device), x.index_select(-1, self.places.to(x.device)))

    def means(self, x: Tensor) -> Tensor:
        """[..., channels] -> [..., units], the mean over each unit's channels."""
        return self.sums(x) / self.sums(torch.ones_like(x)).clamp_min(1)


@dataclass(frozen=True)
class Use:
    """One value on its way through the network.

    owner: the group or layer; part: what of the value is the units' (for a layer what it added), same shape, without a
    gradient; alone: only this one reader is meant, not all that goes on from the value.
    """

    owner: str
    value: Tensor
    part: Tensor
    place: Place
    alone: bool


# What it gives is passed on in the value's place.
Look = Callable[[Use], "Tensor"]


@contextmanager
def watch_groups(network: nn.Module, groups: Sequence[Group], side: Mapping[str, Side], look: Look) -> Iterator[None]:
    """Shows `look` every value in which a group's units are read (or made: `side`, by the group's name).

    They are found at the call that reads (makes) the weight, be it a module's or a plain function's. A group that
    `side` doesn't name is not watched.
    """
    tensors = dict(network.named_parameters(remove_duplicate=False))
    uses: dict[int, list[tuple[str, int, Axis]]] = {}
    for group in groups:
        for axis in group.axes:
            if axis.tensor in tensors and side.get(group.name) == ("made" if axis.makes else "read"):
                uses.setdefault(id(tensors[axis.tensor]), []).append((group.name, group.units, axis))
    with _Calls(uses, look):
        yield


class _Calls(TorchFunctionMode):
    """Sees every operation of torch; those with a weight of `uses` are looked at."""

    def __init__(self, uses: dict[int, list[tuple[str, int, Axis]]], look: Look) -> None:
        super().__init__()
        self.uses, self.look = uses, look

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        operands = 1 if name == "addmm" else 0
        if name not in _OPERATIONS or len(args) < operands + 2 or id(args[operands + 1]) not in self.uses:
            return func(*args, **kwargs)
        reads, makes, channel_dim = _OPERATIONS[name]
        found = self.uses[id(args[operands + 1])]
        value = self._shown(args[operands], [use for use in found if not use[2].makes], reads, channel_dim)
        out = func(*args[:operands], value, *args[operands + 1 :], **kwargs)
        return self._shown(out, [use for use in found if use[2].makes], makes, channel_dim)

    def _shown(self, value: Tensor, uses: list[tuple[str, int, Axis]], weight_axis: int, channel_dim: int) -> Tensor:
        for name, units, axis in uses:
            # A grouped convolution's weight names the channels of one group; the same ones of every group are meant.
            if axis.axis == weight_axis and value.dim() >= -channel_dim and value.shape[channel_dim] % axis.size == 0:
                place = _place(units, axis, channel_dim, value.shape[channel_dim] // axis.size)
                value = self.look(Use(name, value, value.detach(), place, alone=not axis.makes))
        return value


@lru_cache(maxsize=4096)
def _place(units: int, axis: Axis, channel_dim: int, times: int) -> Place:
    pairs = [
        (index + axis.size * repeat, unit)
        for repeat in range(times)
        for unit, indices in enumerate(axis.indices)
        for index in indices
    ]
    table = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    return Place(channel_dim, table[:, 0], table[:, 1], units)


@contextmanager
def watch_layers(network: nn.Module, layers: Sequence[str], look: Look) -> Iterator[None]:
    """Shows `look` the output of every call of a layer, with what was added to the input as its part.

    The input is the layer's first tensor argument, the output a tensor or the first of a tuple. Raises MissingEvidence
    where the two differ in shape.
    """
    hooks = []
    for name in layers:
        inputs: list[Tensor] = []
        module = network.get_submodule(name)
        hooks.append(module.register_forward_pre_hook(_before(inputs), with_kwargs=True))
        hooks.append(module.register_forward_hook(_after(name, inputs, look)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _before(inputs: list[Tensor]) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor)]
        # A copy: the layer may work on it in place.
        inputs.append(tensors[0].detach().clone() if tensors else torch.empty(0))

    return hook


def _after(name: str, inputs: list[Tensor], look: Look) -> Callable[..., Any]:
    def hook(module: nn.Module, args: Any, out: Any) -> Any:
        came, goes = inputs.pop(), out[0] if isinstance(out, tuple) and out else out
        if not isinstance(goes, torch.Tensor) or goes.shape != came.shape:
            became = list(goes.shape) if isinstance(goes, torch.Tensor) else f"a {type(goes).__name__}"
            raise MissingEvidence(
                f"A layer turns {list(came.shape)} into {became}, so the identity can't take its place",
                where=name,
                remedy="leave it out: add it to shrink.skip",
            )
        width = goes.shape[-1] if goes.dim() else 1
        whole = Place(-1, torch.arange(width), torch.zeros(width, dtype=torch.long), 1)
        shown = look(Use(name, goes, goes.detach() - came, whole, alone=False))
        return (shown, *out[1:]) if isinstance(out, tuple) else shown

    return hook


class Enough(BaseException):
    """Ends a network's run; no error, so that no network takes it for one of its own."""


@contextmanager
def watch_lookups(network: nn.Module, tables: Mapping[str, Table]) -> Iterator[Lookups]:
    """Notes in `tables` (by the embedding's name) which rows are looked up, and what else reads the whole weight."""
    with Lookups({id(network.get_submodule(name).weight): table for name, table in tables.items()}) as lookups:
        yield lookups


class Lookups(TorchFunctionMode):
    """Sees every operation of torch that takes one of the weights. count: lookups so far; at `last` it stops."""

    def __init__(self, tables: dict[int, Table]) -> None:
        super().__init__()
        self.tables = tables
        self.count = 0
        self.last: int | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        for one in (*args, *kwargs.values()):
            for inner in one if isinstance(one, (tuple, list)) else (one,):
                table = self.tables.get(id(inner)) if isinstance(inner, torch.Tensor) else None
                if table is None:
                    continue
                if name == "embedding":
                    table.look_up(kwargs["input"] if "input" in kwargs else args[0])
                    self.count += 1
                    if self.count == self.last:
                        raise Enough
                elif isinstance(out, torch.Tensor):  # its size or type alone is no reading
                    table.other = name.strip("_")
        return out
