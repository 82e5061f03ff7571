"""What a network costs as it stands, counted on its own trace."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from pipeline.pruning.groups import Size

if TYPE_CHECKING:
    from torch import Tensor, nn


def size_of(network: nn.Module, example: tuple[Tensor, ...]) -> Size:
    """Parameters, MACs of one sample and bytes of a network, the way `Structure.size` counts. Raises NotTraceable.

    example: the network's inputs, a batch of two or more samples each [N, ...].
    """
    from pipeline.pruning.coupling import prepare
    from pipeline.pruning.tracer import Tracer, export

    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    trial = copy.deepcopy(network, shared).eval()
    prepare(trial)
    tracer = Tracer(batch=example[0].shape[0])
    tracer.follow(export(trial, example), {})
    macs = int(sum(cost.fixed * math.prod(len(axis) for axis in cost.axes) for cost in tracer.found_costs))
    params, stored = stored_numbers(network)
    return Size(params, macs, stored)


def stored_numbers(network: nn.Module) -> tuple[int, int]:
    """(numbers that are trained, bytes of all parameters and buffers); what is shared counts once."""
    parameters, buffers = list(network.parameters()), list(network.buffers())
    params = sum(one.numel() for one in parameters)
    return params, sum(one.numel() * one.element_size() for one in [*parameters, *buffers])


def same_shapes(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same tensors of the same shapes."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(first[key].shape == second[key].shape for key in first)
