"""Which channels, heads and neurons of any traced network can go, each with all that is coupled to it.

Every position of every parameter's axes gets an atom; the atoms follow the data through torch.export's graph and are
joined where one can't go without the other. (The question is DepGraph's, arXiv 2301.12900; the answer is by labels on
positions instead of by rules on layer pairs, so views, chunks, shuffles and bare parameters need no special case.)
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pipeline.pruning import surgery
from pipeline.pruning.costs import Costs, Product
from pipeline.pruning.groups import Axis, Group, Kind, LeftAlone, Structure
from pipeline.pruning.plan import Action, Swap
from pipeline.pruning.tracer import Tracer, export

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.atoms import Atoms


def prepare(network: nn.Module) -> list[Action]:
    """Swaps, in place, what could not be cut as it is; gives the plan's actions for it."""
    actions: list[Action] = []
    for name, module in network.named_modules():
        if name and surgery.cant_swap(module) is None:
            actions.append(Swap(name, "heads"))
    for action in actions:
        assert isinstance(action, Swap)
        surgery.swap(network, action.module, action.by)
    return actions


def find_structure(network: nn.Module, example: tuple[Tensor, ...]) -> Structure:
    """Every group of units that can go, what is left alone and why, and what each costs. Call `prepare` first.

    example: the network's inputs, a batch of two or more samples each [N, ...]. Each group was tried on a randomised
    copy: cut and merely masked give the same outputs. Raises NotTraceable.
    """
    from pipeline.pruning.trial import prove

    tracer = Tracer(batch=example[0].shape[0])
    tracer.follow(export(network, example), _first_names(network))
    groups, alone = _groups(tracer, network)
    proven, failed = prove(network, groups, _holders(tracer, groups), example)
    # What failed is told also of a module whose other channels can go.
    told = {name: failed[group.name] for group in groups if group.name in failed for name in _makers(network, group)}
    made = {name for group in proven for name in _makers(network, group)}
    named = [LeftAlone(name, why) for name, why in {**alone, **told}.items() if name in told or name not in made]
    order = {name: place for place, (name, _) in enumerate(network.named_modules())}
    named.sort(key=lambda one: order.get(one.module, -1))
    return Structure(proven, named, _costs(tracer, proven, network))


def _makers(network: nn.Module, group: Group) -> list[str]:
    return list(dict.fromkeys(_owner(network, axis.tensor) for axis in group.axes if axis.makes))


def _first_names(network: nn.Module) -> dict[str, str]:
    """Each name of a tensor > the first of all names that the same tensor has."""
    first: dict[int, str] = {}
    names = {}
    for name, tensor in [*network.named_parameters(remove_duplicate=False), *network.named_buffers()]:
        names[name] = first.setdefault(id(tensor), name)
    return names


def _groups(tracer: Tracer, network: nn.Module) -> tuple[list[Group], dict[str, str]]:
    """Atoms that appear in the same axes make a group; (groups in module order, reasons for modules without one)."""
    atoms = tracer.atoms
    members: dict[int, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for key, span in tracer.axes.items():
        for position, atom in enumerate(span):
            members[atoms.root(atom)][key].append(position)
    families: dict[tuple[tuple[str, int], ...], list[int]] = defaultdict(list)
    for root, places in members.items():
        if atoms.frozen(root) is None:
            families[tuple(sorted(places))].append(root)
    order = {name: place for place, (name, _) in enumerate(network.named_modules())}
    found: list[tuple[int, Group]] = []
    alone = _reasons(tracer, network)
    heads = atoms.heads()
    for keys, roots in families.items():
        makers = [key for key in keys if key in tracer.made or key not in tracer.read]
        weights = [key for key in makers if _layer(network, key[0])]
        if not weights:  # positions of a table, say: nothing that was trained makes them
            continue
        # Modules come before the bare parameters of the network itself.
        first = min(weights, key=lambda key: order.get(_holder(key[0])) or len(order))
        name = _holder(first[0]) or first[0]
        roots.sort(key=lambda root: members[root][first])
        if len(roots) < 2:
            alone[name] = "it has one unit"
            continue
        kind: Kind = "heads" if roots[0] in heads else "filters" if _convolves(network, name) else "neurons"
        axes = tuple(
            Axis(*key, len(tracer.axes[key]), tuple(tuple(members[root][key]) for root in roots), key in makers)
            for key in sorted(keys, key=lambda key: (key != first, key))
        )
        found.append((order.get(name, -1), Group(name, kind, len(roots), axes)))
    found.sort(key=lambda pair: pair[0])
    return _distinct([group for _, group in found]), alone


def _distinct(groups: list[Group]) -> list[Group]:
    """A module whose channels fall into several groups (sliced apart, say) gives each its number."""
    from dataclasses import replace

    seen: dict[str, int] = defaultdict(int)
    result = []
    for group in groups:
        seen[group.name] += 1
        result.append(group if seen[group.name] == 1 else replace(group, name=f"{group.name}#{seen[group.name]}"))
    return result


def _layer(network: nn.Module, tensor: str) -> bool:
    """Whether a tensor is trained and a matrix or kernel, not a norm's, a bias or a scale."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    found = surgery.find_tensor(network, tensor)
    if not isinstance(found, nn.Parameter) or found.dim() < 2:
        return False
    owner = network.get_submodule(_holder(tensor))
    return isinstance(owner, (_ConvNd, nn.Linear)) or sum(size > 1 for size in found.shape) > 1


def _convolves(network: nn.Module, name: str) -> bool:
    from torch.nn.modules.conv import _ConvNd

    try:
        return isinstance(network.get_submodule(name), _ConvNd)
    except AttributeError:
        return False


def _reasons(tracer: Tracer, network: nn.Module) -> dict[str, str]:
    """Of every layer the reason why its outputs can't go, as far as there is one."""
    reasons: dict[str, str] = {}
    names = _first_names(network)
    for tensor, _ in network.named_parameters(remove_duplicate=False):
        if names[tensor] != tensor:
            reasons[_owner(network, tensor)] = f"it shares the weight of {_owner(network, names[tensor])}"
        elif _layer(network, tensor):
            used = tensor in tracer.used
            reasons[_owner(network, tensor)] = "it has one unit" if used else "the forward pass does not use it"
    for (tensor, axis), span in tracer.axes.items():
        read_only = (tensor, axis) in tracer.read and (tensor, axis) not in tracer.made
        if read_only or not _layer(network, tensor):
            continue
        why = next((why for atom in span if (why := tracer.atoms.frozen(atom)) is not None), None)
        if why is not None:
            reasons[_owner(network, tensor)] = why  # the last axis speaks: of an embedding the width, not the rows
    return reasons


def _holder(tensor: str) -> str:
    """The module that uses a tensor; of a parametrized weight (weight norm, say) the layer whose weight it makes."""
    before, parametrized, _ = tensor.partition(".parametrizations.")
    return before if parametrized else tensor.rpartition(".")[0]


def _owner(network: nn.Module, tensor: str) -> str:
    """The layer that a tensor belongs to; a bare parameter, e.g. a position embedding, is named itself."""
    name = _holder(tensor)
    if name != tensor.rpartition(".")[0]:
        return name
    return tensor if not name or next(network.get_submodule(name).children(), None) is not None else name


def _holders(tracer: Tracer, groups: list[Group]) -> dict[str, list[str]]:
    """By group: the modules that reshape its units, so that an attribute of theirs may count them."""
    found: dict[str, list[str]] = {}
    atoms: Atoms = tracer.atoms
    spans = [(module, {atoms.root(atom) for atom in touched}) for module, touched in tracer.counters]
    for group in groups:
        first = group.axes[0]
        start = tracer.axes[first.tensor, first.axis].start
        roots = {atoms.root(start + indices[0]) for indices in first.indices}
        found[group.name] = list(dict.fromkeys(module for module, touched in spans if touched & roots))
    return found


def _costs(tracer: Tracer, groups: list[Group], network: nn.Module) -> Costs:
    """Everything that costs, in terms of the groups' units."""
    import numpy as np
    import torch

    costs, unit_of = Costs(), {}
    for group in groups:
        costs.offsets[group.name] = costs.units
        for axis in group.axes:
            start = tracer.axes[axis.tensor, axis.axis].start
            for unit, indices in enumerate(axis.indices):
                for index in indices:
                    unit_of[start + index] = costs.units + unit
        costs.units += group.units
    roots = {tracer.atoms.root(atom): unit for atom, unit in unit_of.items()}

    def numbered(vector: Tensor) -> np.ndarray:
        return np.array(
            [roots.get(tracer.atoms.root(atom), -1) if atom >= 0 else -1 for atom in vector.tolist()], dtype=np.int64
        )

    costs.macs = [Product(cost.fixed, tuple(numbered(axis) for axis in cost.axes)) for cost in tracer.found_costs]
    parameters = {name for name, _ in network.named_parameters()}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        axes, fixed = [], 1
        for dim, size in enumerate(tensor.shape):
            span = tracer.axes.get((name, dim))
            if span is None:
                fixed *= size
            else:
                axes.append(numbered(torch.arange(span.start, span.stop)))
        product = Product(fixed, tuple(axes))
        costs.stored.append((tensor.element_size(), product))
        if name in parameters:
            costs.params.append(product)
    return costs
