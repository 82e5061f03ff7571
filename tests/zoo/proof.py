"""What a network of the zoo was pruned to, and independent ways to see that nothing else changed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.pruning import coupling, surgery
from pipeline.pruning.coupling import prepare
from pipeline.pruning.evidence import Evidence
from pipeline.pruning.groups import Group, Size, Structure
from pipeline.pruning.plan import Action, Cut, PruningPlan, Set, replay
from pipeline.pruning.shrink import Outcome, Wish, shrink
from pipeline.pruning.trial import Choice, apart, masked, outputs
from tests.zoo.entry import Entry

SAMPLES, BATCH = 12, 4


def evidence(entry: Entry, network: nn.Module) -> Evidence:
    """Three batches of four samples with random labels; the network from before training has another seed."""
    data = entry.samples(SAMPLES, seed=5)
    generator = torch.Generator().manual_seed(6)
    wanted = [
        torch.randint(one.shape[-1], (len(one),), generator=generator)
        if _is_scores(one)
        else torch.randn(one.shape, generator=generator)
        for one in outputs(network, data)
    ]

    def inputs_of(rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(one[rows] for one in data)

    def loss_of(network: nn.Module, rows: Tensor) -> Tensor:
        got = _leaves(network(*inputs_of(rows)))
        return torch.stack(
            [
                F.cross_entropy(one, right[rows]) if right.dtype == torch.int64 else F.mse_loss(one, right[rows])
                for one, right in zip(got, wanted, strict=True)
            ]
        ).sum()

    everything = torch.arange(SAMPLES)

    def metric_of(network: nn.Module) -> float:
        with torch.no_grad():
            return -float(loss_of(network, everything))

    return Evidence(
        loss_of,
        inputs_of,
        [everything[place : place + BATCH] for place in range(0, SAMPLES, BATCH)],
        start=entry.network(seed=7),
        metric_of=metric_of,
    )


def _is_scores(output: Tensor) -> bool:
    return output.dim() == 2 and output.shape[1] > 1


def _leaves(found: Any) -> list[Tensor]:
    from torch.utils import _pytree as pytree

    plain = dict(found) if isinstance(found, dict) else found
    return [leaf for leaf in pytree.tree_leaves(plain) if isinstance(leaf, Tensor)]


@dataclass
class Pruned:
    """One run of shrink(): the smaller network, and the whole one as it was before its units were cut."""

    entry: Entry
    whole: nn.Module
    network: nn.Module
    outcome: Outcome

    @property
    def plan(self) -> PruningPlan:
        return PruningPlan(list(self.outcome.actions))


def pruned(entry: Entry, wish: Wish) -> Pruned:
    """shrink() on a fresh network of the zoo; `whole` has the same weights, its layers swapped or removed alike."""
    original = entry.network()
    network, whole = copy.deepcopy(original), copy.deepcopy(original)
    outcome = shrink(network, original, entry.samples(), wish, evidence(entry, original))
    replay(PruningPlan([one for one in outcome.actions if not isinstance(one, Cut | Set)]), whole)
    return Pruned(entry, whole, network, outcome)


def choice_of(structure: Structure, actions: Sequence[Action]) -> Choice:
    """The units that the plan's cuts leave of each group. Fails where a group's axes disagree."""
    cuts = {(one.tensor, one.axis): set(one.kept) for one in actions if isinstance(one, Cut)}
    choice: list[tuple[Group, list[int]]] = []
    for group in structure.groups:
        verdicts = {
            tuple(unit for unit, where in enumerate(axis.indices) if set(where) <= cuts[axis.tensor, axis.axis])
            for axis in group.axes
            if (axis.tensor, axis.axis) in cuts
        }
        if not verdicts:
            continue
        assert len(verdicts) == 1, f"{group.name}: its tensors keep different units, {sorted(verdicts)}"
        (kept,) = verdicts
        if len(kept) < group.units:  # else only a neighbour in the same concatenation was cut
            choice.append((group, list(kept)))
    return choice


def unread(network: nn.Module, choice: Choice) -> nn.Module:
    """A copy in which nobody reads what would go, and all else is as it was: what removing a unit means."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        for group, kept in choice:
            for axis in group.axes:
                if axis.makes:
                    continue
                gone = [i for unit, where in enumerate(axis.indices) if unit not in kept for i in where]
                surgery.find_tensor(made, axis.tensor).index_fill_(
                    axis.axis, torch.tensor(gone, dtype=torch.int64), 0.0
                )
    return made


def gaps(case: Pruned) -> dict[str, float]:
    """Worst difference of the cut network from the masked ones, as a share of the outputs' spread, on fresh inputs."""
    structure = coupling.find_structure(case.whole, case.entry.samples())
    choice = choice_of(structure, case.outcome.actions)
    found_cut = {group.name: len(kept) for group, kept in choice}
    said_cut = {name: after for name, (_, before, after) in case.outcome.units.items() if after < before}
    assert found_cut == said_cut, f"the plan leaves {found_cut}, the outcome says {said_cut}"
    got = _exactly(case.network, case.entry)
    found = {"masked": apart(_exactly(masked(case.whole, choice), case.entry), got)}
    if not case.entry.shared:
        found["unread"] = apart(_exactly(unread(case.whole, choice), case.entry), got)
    return found


def _exactly(network: nn.Module, entry: Entry) -> list[Tensor]:
    """Outputs on fresh inputs in float64: outputs that hardly vary would else differ by rounding alone."""
    inputs = entry.samples(count=3, seed=11)
    return outputs(
        copy.deepcopy(network).double(), tuple(one.double() if one.is_floating_point() else one for one in inputs)
    )


def counted(network: nn.Module, entry: Entry) -> Size:
    """Parameters, MACs of one sample and bytes by torch's own counter, which knows nothing of groups."""
    one = tuple(given[:1] for given in entry.samples())
    # The counter's hooks trip over views of parameters that want gradients.
    network = copy.deepcopy(network).requires_grad_(False).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of flags that are set below
        return Size(
            params=sum(one.numel() for one in network.parameters()),
            macs=_macs(network, one),
            bytes=sum(one.numel() * one.element_size() for one in [*network.parameters(), *network.buffers()]),
        )


def _macs(network: nn.Module, one: tuple[Tensor, ...]) -> int:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # Fused kernels for attention and recurrent layers are opaque to the counter.
    with (
        torch.no_grad(),
        torch.backends.mkldnn.flags(enabled=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        network(*one)
    return counter.get_total_flops() // 2


def silent(structure: Structure, network: nn.Module) -> list[str]:
    """Tensors with weights whose module is neither in a group nor left alone with a reason: must be none."""
    made = {axis.tensor for group in structure.groups for axis in group.axes if axis.makes}
    left = {one.module for one in structure.left if one.reason}

    def known(name: str) -> bool:
        module = name.partition(".parametrizations.")[0]
        return name in made or not left.isdisjoint((name, module, name.rpartition(".")[0]))

    return [name for name, one in network.named_parameters() if max(one.shape) < one.numel() and not known(name)]


def prepared(entry: Entry) -> nn.Module:
    """A fresh network in which what can't be cut as it is has been swapped."""
    network = entry.network()
    prepare(network)
    return network


def skipped_gap(entry: Entry, case: Pruned) -> float:
    """How far `case.whole` is from the untouched network whose removed layers hand on what they are given."""
    network = entry.network()
    for name in case.outcome.blocks:
        network.get_submodule(name).register_forward_hook(lambda module, given, output: _alike(given[0], output))
    return apart(_exactly(network, entry), _exactly(case.whole, entry))


def _alike(given: Tensor, output: Any) -> Any:
    return (given, *output[1:]) if isinstance(output, tuple) else given


@contextmanager
def traced_once() -> Iterator[None]:
    """Networks of the same modules and shapes are traced once meanwhile: their groups are the same."""
    known: dict[tuple[Any, ...], Structure] = {}
    true = coupling.find_structure

    def remembered(network: nn.Module, example: tuple[Tensor, ...]) -> Structure:
        modules = tuple((name, type(module)) for name, module in network.named_modules())
        key = (*modules, *((name, tensor.shape) for name, tensor in network.state_dict().items()))
        if key not in known:
            known[key] = true(network, example)
        return known[key]

    with structure_from(remembered):
        yield


@contextmanager
def structure_from(other: Callable[..., Structure]) -> Iterator[None]:
    """`other` stands in the place of find_structure meanwhile, for shrink() and for this module."""
    from pipeline.pruning import shrink as module

    with mock.patch.object(coupling, "find_structure", other), mock.patch.object(module, "find_structure", other):
        yield
