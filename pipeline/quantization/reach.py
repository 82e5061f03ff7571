"""Who makes and who reads each channel of a network, and how far its values reach on real samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.distillation import logits_of
from pipeline.pruning.groups import Group

if TYPE_CHECKING:
    from torch import Tensor, nn

FARTHEST = 64.0
"""No channel is scaled by more: one that is nearly dead has no range to balance."""


class Reach:
    """Watches one pass of `net` over `x` [N, ...] in evaluation mode."""

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        import torch
        from torch.nn.modules.batchnorm import _BatchNorm
        from torch.nn.modules.conv import _ConvNd

        self._order: dict[str, int] = {}
        self._inputs: dict[str, Tensor] = {}
        self._normed: set[str] = set()
        self._deep: set[str] = set()
        given: dict[int, tuple[str, Tensor]] = {}

        def note(name: str, module: nn.Module, x: Tensor, output: Tensor) -> None:
            self._order.setdefault(name, len(self._order))
            if isinstance(module, _BatchNorm):
                if id(x) in given:
                    self._normed.add(given[id(x)][0])
                return
            channels = x.dim() - 1 if isinstance(module, torch.nn.Linear) else 1
            largest = x.abs().amax([dim for dim in range(x.dim()) if dim != channels])
            self._inputs[name] = torch.maximum(self._inputs.get(name, largest), largest)
            given[id(output)] = name, output  # held, so that no other tensor gets its number
            if isinstance(module, _ConvNd) and module.groups > 1 and module.weight.shape[1] == 1:
                self._deep.add(name)

        def hook(name: str) -> Any:
            return lambda module, inputs, output: note(name, module, inputs[0], output)

        hooks = [
            module.register_forward_hook(hook(name))
            for name, module in net.named_modules()
            if isinstance(module, (_ConvNd, torch.nn.Linear, _BatchNorm))
        ]
        try:
            for rows in torch.split(x, 64):
                given.clear()
                logits_of(net, rows)
        finally:
            for one in hooks:
                one.remove()

    def pairs(self, group: Group) -> list[tuple[dict[str, int], dict[str, int]]]:
        """(what makes a group's values, what reads them), each as tensors' names > the axis of its channels.

        Makers are weights and biases: of a layer with a norm behind it the norm's, which have the say. A depthwise
        convolution reads its channels one by one and makes them anew, so it ends one pair and begins the next.
        """
        makers = {axis.tensor: axis.axis for axis in group.axes if axis.makes and self._makes(axis.tensor)}
        readers = {
            axis.tensor: axis.axis for axis in group.axes if not axis.makes and _owner(axis.tensor) in self._inputs
        }
        between = {
            self._order[owner]: f"{owner}.weight"
            for axis in group.axes
            if (owner := _owner(axis.tensor)) in self._deep and axis.makes
        }
        found, begin = [], -1
        for end, reader in [*sorted(between.items()), (len(self._order), "")]:
            made = {name: dim for name, dim in makers.items() if begin <= self._order[_owner(name)] < end}
            read = {reader: 0} if reader else readers
            if made and read:
                found.append((made, read))
            begin = end
        return found

    def factors(self, net: nn.Module, group: Group, readers: Mapping[str, int]) -> Tensor:
        """s = sqrt(r1 / r2) a unit: r1 the reach of its values, r2 that of the weights that read it; float32 [units].

        Their geometric mean is 1, so that the tensor as a whole keeps its range.
        """
        import torch

        tensors, axes = dict(net.named_parameters()), {(axis.tensor, axis.axis): axis for axis in group.axes}
        values, weights = torch.zeros(group.units), torch.zeros(group.units)
        for name, dim in readers.items():
            weight = tensors[name].detach().abs()
            weight = weight.amax([one for one in range(weight.dim()) if one != dim])
            for unit, places in enumerate(axes[name, dim].indices):
                values[unit] = torch.maximum(values[unit], self._inputs[_owner(name)][list(places)].max())
                weights[unit] = torch.maximum(weights[unit], weight[list(places)].max())
        alive, one = (values > 0) & (weights > 0), torch.ones(())
        by = torch.where(alive, (values / weights.clamp_min(1e-30)).sqrt(), one)
        middle = by[alive].log().mean().exp() if bool(alive.any()) else one
        return torch.where(alive, (by / middle).clamp(1 / FARTHEST, FARTHEST), one)

    def _makes(self, tensor: str) -> bool:
        owner, _, leaf = tensor.rpartition(".")
        return leaf in ("weight", "bias") and owner in self._order and owner not in self._normed


def _owner(tensor: str) -> str:
    return tensor.rpartition(".")[0]
