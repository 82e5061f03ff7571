"""Cross-layer equalisation: scales wander from one layer into the next, until channels share their range.

Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias Correction" (arXiv 1906.04721), with
one change: a layer's side of the balance is not the range of its weights, which here have a scale per channel and cost
nothing, but that of the activations which it gives, as SmoothQuant has it (Xiao et al. 2022, arXiv 2211.10438).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.distillation import logits_of
from pipeline.export.drift import sqnr, worst_difference
from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.groups import Group
from pipeline.quantization.reach import Reach

if TYPE_CHECKING:
    from torch import Tensor, nn

SAME = 1e-4
"""Of the outputs' spread: what float rounding moves; a scale that can't pass an activation moves far more."""
GAIN_DB = 0.5
"""Less is not worth touching the weights for."""


@dataclass
class Equalised:
    """SQNR in dB of simulated INT8 before and after. scaled: by group, the dB that it brought; left: the reason why a
    group was left alone, by its name; kept: whether all of it gained GAIN_DB, else the network is as it was."""

    before: float
    after: float
    scaled: dict[str, float] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    kept: bool = False


def equalise(net: nn.Module, x: Tensor) -> Equalised:
    """Balances, in place, every group of channels for which this is exact in float and better in INT8.

    x: real samples [N, ...], two or more. What makes a group is scaled by 1/s and what reads it by s, a channel at a
    time; that this passes through what lies between (ReLU does, ReLU6 and GELU don't) is tried on `x`, not read from
    code. Raises NotTraceable.
    """
    from pipeline.quantization.fakequant import simulated

    net.eval()
    original = _state(net)
    reference = logits_of(net, x).numpy()
    # Always against the network as it came: what was scaled since must still give the same.
    before = sqnr(reference, simulated(net, x, x).numpy())
    found = Equalised(before, before)
    reach = Reach(net, x)
    for group in _groups(net, x):
        found.left[group.name] = "no layer that multiplies by weights reads it"
        for makers, readers in reach.pairs(group):
            kept = _state(net)
            scale(net, group, makers, readers, reach.factors(net, group, readers))
            if not worst_difference(reference, logits_of(net, x).numpy()) <= SAME:
                found.left[group.name] = "a scale doesn't pass through what lies between its layers"
            elif (now := sqnr(reference, simulated(net, x, x).numpy())) <= found.after:
                found.left[group.name] = "INT8 got no better"
            else:
                found.scaled[group.name] = found.scaled.get(group.name, 0.0) + now - found.after
                found.after = now
                continue
            net.load_state_dict(kept)
        if group.name in found.scaled:
            del found.left[group.name]
    found.kept = found.after - found.before >= GAIN_DB
    if not found.kept:
        net.load_state_dict(original)
    return found


def scale(net: nn.Module, group: Group, makers: Mapping[str, int], readers: Mapping[str, int], by: Tensor) -> None:
    """Divides each unit's values where they are made, and multiplies the weights that read them.

    makers, readers: tensors' names > the axis along which the group's units lie; by: float32 [units], positive.
    """
    import torch

    tensors = dict(net.named_parameters())
    axes = {(axis.tensor, axis.axis): axis for axis in group.axes}
    with torch.no_grad():
        for names, factor in ((makers, 1 / by), (readers, by)):
            for name, dim in names.items():
                whole = torch.ones(tensors[name].shape[dim])
                for unit, places in enumerate(axes[name, dim].indices):
                    whole[list(places)] = factor[unit]
                shape = [1] * tensors[name].dim()
                shape[dim] = -1
                tensors[name].mul_(whole.view(shape))


def _groups(net: nn.Module, x: Tensor) -> list[Group]:
    """The coupling groups; of a copy, since finding them swaps nn.MultiheadAttention for a module that can be cut."""
    copied = copy.deepcopy(net)
    prepare(copied)
    known = {*dict(net.named_parameters()), *dict(net.named_buffers())}
    found = find_structure(copied, (x[:2],)).groups
    return [one for one in found if all(axis.tensor in known for axis in one.axes)]


def _state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}
