"""Gathers what the criteria judge by: weights, gradients, movement and activations of groups of units and layers."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.pruning.criteria import Seen, missing
from pipeline.pruning.observing import derivatives, observe, sides

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.groups import Axis, Group


@dataclass
class Evidence:
    """Where importance comes from.

    loss_of(network, rows): mean loss (a scalar) of that network on those training samples, int64 [B]; inputs_of(rows):
    what the network is called with there; batches: rows, disjoint; start: the network as it was before training,
    pruned alike; learning_rate: of the fine-tuning by which movement is seen; metric_of: the validation metric; seed:
    of the random criterion and of whatever the network itself draws.
    """

    loss_of: Callable[[nn.Module, Tensor], Tensor]
    inputs_of: Callable[[Tensor], tuple[Tensor, ...]]
    batches: list[Tensor]
    start: nn.Module | None = None
    learning_rate: float = 0.01
    metric_of: Callable[[nn.Module], float] | None = None
    seed: int = 0

    def shares(self, field: str) -> list[tuple[Tensor, float]]:
        """Each batch's rows with their share of all samples. field: what they are for. Raises MissingEvidence."""
        total = sum(len(rows) for rows in self.batches)
        if total == 0:
            raise missing(field, "There are no training samples to judge by")
        return [(rows, len(rows) / total) for rows in self.batches if len(rows)]


@dataclass
class _Subject:
    """What is judged: gather(tensors) lays the numbers that make its units out as [units, numbers].

    touched: also the tensors that read them; gather_all lays out those too.
    """

    name: str
    tensors: list[str]
    gather: Callable[[Mapping[str, Tensor]], Tensor]
    touched: list[str]
    gather_all: Callable[[Mapping[str, Tensor]], Tensor]


def see(network: nn.Module, groups: list[Group], needs: frozenset[str], evidence: Evidence) -> dict[str, Seen]:
    """By group's name, its units' weights and the fields of Seen named in `needs`; the network stays as it is.

    weights, movement, start: all that makes a unit, over the group's axes, shorter units filled up with zeros;
    products: also what reads it. activations and zeros: where the unit is read, the mean over its readers, positions
    and samples. gates: of a factor on the unit in all its readers at once, which at 0 is what cutting it does. Where no
    operation reads a unit's weights as they are, it is watched where it is made. Batch statistics are fixed; frozen
    parameters count.
    Raises MissingEvidence.
    """
    from pipeline.pruning.watching import watch_groups

    parameters = _parameters(network)
    subjects = []
    for group in groups:
        trained = [axis for axis in group.axes if axis.tensor in parameters]
        makers = [axis for axis in trained if axis.makes]
        sides_ = [(_names(axes), _rows_of(axes, group.units)) for axes in (makers, trained)]
        subjects.append(_Subject(group.name, *sides_[0], *sides_[1]))
    with _at_rest(network, evidence.seed):
        seen = _weigh(network, subjects, needs, evidence)
        if needs & {"activations", "zeros", "gates"}:
            where = sides(network, groups, evidence)
            observe(network, lambda look: watch_groups(network, groups, where, look), needs, evidence, seen)
    return seen


def see_layers(network: nn.Module, layers: list[str], needs: frozenset[str], evidence: Evidence) -> dict[str, Seen]:
    """By layer's name, the layer as one unit: units = 1 everywhere; the network stays as it is.

    weights, products, movement, start: all its parameters, [1, numbers]. activations and zeros: of what it
    adds to its first input. gates: mean over samples of |sum of (output - input) x d loss / d output|, the first-order
    change of the loss when the identity takes its place. Raises MissingEvidence.
    """
    from pipeline.pruning.watching import watch_layers

    parameters = _parameters(network)
    subjects = []
    for layer in layers:
        unique = {id(tensor): name for name, tensor in parameters.items() if name.startswith(f"{layer}.")}
        whole = sorted(unique.values()), _one_row(sorted(unique.values()))
        subjects.append(_Subject(layer, *whole, *whole))
    with _at_rest(network, evidence.seed):
        seen = _weigh(network, subjects, needs, evidence)
        observe(network, lambda look: watch_layers(network, layers, look), needs, evidence, seen)
    return seen


def _names(axes: Sequence[Axis]) -> list[str]:
    return list(dict.fromkeys(axis.tensor for axis in axes))


def _parameters(network: nn.Module) -> dict[str, Tensor]:
    """What is trained or could be, by every name that it has."""
    return {name: one for name, one in network.named_parameters(remove_duplicate=False) if one.is_floating_point()}


def _rows_of(axes: Sequence[Axis], units: int) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Takes each unit's positions out of each axis's tensor and lays them side by side."""
    import torch

    def gather(tensors: Mapping[str, Tensor]) -> Tensor:
        parts = [torch.zeros(units, 0)]
        for axis in axes:
            most = max(map(len, axis.indices))
            index = torch.tensor([[*one, *[0] * (most - len(one))] for one in axis.indices], dtype=torch.long)
            there = torch.tensor([[1.0] * len(one) + [0.0] * (most - len(one)) for one in axis.indices])
            table = _plain(tensors[axis.tensor]).movedim(axis.axis, 0).reshape(axis.size, -1)
            parts.append((table[index.view(units, most)] * there.view(units, most, 1)).flatten(1))
        return torch.cat(parts, dim=1)

    return gather


def _one_row(names: Sequence[str]) -> Callable[[Mapping[str, Tensor]], Tensor]:
    import torch

    def gather(tensors: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([torch.zeros(0), *(_plain(tensors[name]).flatten() for name in names)]).unsqueeze(0)

    return gather


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu()


@contextmanager
def _at_rest(network: nn.Module, seed: int) -> Iterator[None]:
    """Evaluation mode, a seeded generator and gradients for all parameters; everything is put back afterwards."""
    import torch

    training = [(module, module.training) for module in network.modules()]
    wanted = [(one, one.requires_grad) for one in network.parameters() if one.is_floating_point()]
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.eval()
            for parameter, _ in wanted:
                parameter.requires_grad_(True)
            yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)


def _weigh(
    network: nn.Module, subjects: Sequence[_Subject], needs: frozenset[str], evidence: Evidence
) -> dict[str, Seen]:
    """What the parameters themselves tell: all fields but what is observed while the network runs."""
    names = list(dict.fromkeys(name for subject in subjects for name in subject.tensors))
    parameters = _parameters(network)
    touched = list(dict.fromkeys(name for subject in subjects for name in subject.touched))
    products = _products(network, touched, evidence) if "products" in needs else {}
    moved = _movement(network, names, evidence) if "movement" in needs else {}
    start = _start(parameters, names, evidence) if "start" in needs else {}
    return {
        one.name: Seen(
            weights=one.gather(parameters),
            products=one.gather_all(products) if "products" in needs else None,
            movement=one.gather(moved) if "movement" in needs else None,
            start=one.gather(start) if "start" in needs else None,
            # Its own for each group: equal widths would draw equal scores.
            seed=zlib.crc32(f"{evidence.seed} {one.name}".encode()),
        )
        for one in subjects
    }


def _products(network: nn.Module, names: Sequence[str], evidence: Evidence) -> dict[str, Tensor]:
    """By parameter's name: itself x the gradient of the mean loss over all batches."""
    parameters = _parameters(network)
    tensors = [parameters[name] for name in names]
    total = [one.detach() * 0 for one in tensors]
    for rows, share in evidence.shares("products"):
        slopes = derivatives(evidence.loss_of(network, rows), tensors, "products")
        for sum_, slope in zip(total, slopes, strict=True):
            sum_ += slope * share
    return {name: one.detach() * slope for name, one, slope in zip(names, tensors, total, strict=True)}


def _movement(network: nn.Module, names: Sequence[str], evidence: Evidence) -> dict[str, Tensor]:
    """-(sum of gradient x weight before the step) while a copy is fine-tuned by plain SGD, one step a batch."""
    import torch

    tuned = copy.deepcopy(network)
    parameters = _parameters(tuned)
    tensors = list({id(one): one for one in parameters.values()}.values())
    total = {id(one): torch.zeros_like(one) for one in tensors}
    for rows, _ in evidence.shares("movement"):
        slopes = derivatives(evidence.loss_of(tuned, rows), tensors, "movement")
        with torch.no_grad():
            for one, slope in zip(tensors, slopes, strict=True):
                total[id(one)] -= slope * one
                one -= evidence.learning_rate * slope
    return {name: total[id(parameters[name])] for name in names}


def _start(parameters: Mapping[str, Tensor], names: Sequence[str], evidence: Evidence) -> dict[str, Tensor]:
    if evidence.start is None:
        raise missing("start", "There are no weights from before the training")
    start = _parameters(evidence.start)
    for name in names:
        if name not in start or start[name].shape != parameters[name].shape:
            found = f"has the shape {list(start[name].shape)}" if name in start else "is not there"
            raise missing("start", f"In the network from before the training, {name!r} {found}", where=name)
    return start
