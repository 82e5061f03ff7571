"""Proof on a copy: a network with units cut out computes what it does with them masked to zero. If not, they stay."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.pruning import surgery
from pipeline.pruning.groups import Count, Group
from pipeline.pruning.plan import PruningPlan, actions_for, replay

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-4
Choice = list[tuple[Group, list[int]]]


def masked(network: nn.Module, choice: Choice) -> nn.Module:
    """A copy in which all numbers that would go are zero; nothing is smaller."""
    import torch

    made = copy.deepcopy(network)
    with torch.no_grad():
        for group, kept in choice:
            stays = set(kept)
            for axis in group.axes:
                gone = [index for unit, where in enumerate(axis.indices) if unit not in stays for index in where]
                tensor = surgery.find_tensor(made, axis.tensor)
                if gone and tensor.is_floating_point():
                    tensor.index_fill_(axis.axis, torch.tensor(gone), 0.0)
    return made


def cut_copy(network: nn.Module, choice: Choice) -> nn.Module:
    """A copy that is physically smaller."""
    made = copy.deepcopy(network)
    replay(PruningPlan(actions_for(choice)), made)
    return made


def outputs(network: nn.Module, example: tuple[Tensor, ...]) -> list[Tensor]:
    """All tensors that the network gives, in evaluation mode without gradients."""
    import torch
    from torch.utils import _pytree as pytree

    with torch.no_grad():
        found = network.eval()(*example)
    return [leaf for leaf in pytree.tree_leaves(_plain(found)) if isinstance(leaf, torch.Tensor)]


def _plain(found: Any) -> Any:
    return dict(found) if isinstance(found, Mapping) else found


def difference(network: nn.Module, choice: Choice, example: tuple[Tensor, ...]) -> float:
    """Worst |cut - masked| as a share of the outputs' spread; infinite where shapes differ or numbers aren't finite."""
    return apart(outputs(masked(network, choice), example), outputs(cut_copy(network, choice), example))


def spread(one: Tensor) -> float:
    """What a difference is measured by: the standard deviation, of a single number its size."""
    return max(float(one.std()) if one.numel() > 1 else float(one.abs().max()), 1e-12)


def apart(wanted: Sequence[Tensor], got: Sequence[Tensor], scale: Callable[[Tensor], float] = spread) -> float:
    """Worst difference of two lists of outputs as a share of the first one's `scale`; infinite where shapes differ."""
    import torch

    worst = 0.0
    if [one.shape for one in wanted] != [one.shape for one in got]:
        return float("inf")
    for one, other in zip(wanted, got, strict=True):
        if not one.is_floating_point() or not one.numel():
            continue
        gap = float((one - other).abs().max()) / scale(one)
        worst = max(worst, gap if bool(torch.isfinite(other).all()) else float("inf"))
    return worst


def prove(
    network: nn.Module, groups: list[Group], holders: Mapping[str, list[str]], example: tuple[Tensor, ...]
) -> tuple[list[Group], dict[str, str]]:
    """(groups that can be cut, with the attributes that count them; the other groups' names with the reason)."""
    trial = _randomised(network, example)
    guessed = [_likely(trial, group, holders.get(group.name, [])) for group in groups]
    if groups and _same(trial, guessed, example):
        return guessed, {}
    proven: list[Group] = []
    reasons: dict[str, str] = {}
    for group in groups:
        why = "without some of its units the network computes something else"
        for candidate in _candidates(trial, group, holders.get(group.name, [])):
            try:
                if _right(trial, [candidate], example):
                    proven.append(candidate)
                    break
            except Exception as error:  # the user's forward may raise anything on shapes that it did not expect
                why = f"without some of its units the forward pass fails: {_first_line(error)}"
        else:
            reasons[group.name] = why
    return _together(trial, proven, example, reasons), reasons


def _together(
    trial: nn.Module, proven: list[Group], example: tuple[Tensor, ...], reasons: dict[str, str]
) -> list[Group]:
    """All at once must work as well as one by one; else they join in turn."""
    if _same(trial, proven, example):
        return proven
    accepted: list[Group] = []
    for group in proven:
        if _same(trial, [*accepted, group], example):
            accepted.append(group)
        else:
            reasons[group.name] = "together with others it can't be cut"
    return accepted


def _right(trial: nn.Module, groups: list[Group], example: tuple[Tensor, ...]) -> bool:
    return all(
        difference(trial, [(group, _some(group, pattern)) for group in groups], example) <= TOLERANCE
        for pattern in range(3)
    )


def _same(trial: nn.Module, groups: list[Group], example: tuple[Tensor, ...]) -> bool:
    try:
        return _right(trial, groups, example)
    except Exception:  # the user's forward may raise anything on shapes that it did not expect
        return False


def _some(group: Group, pattern: int) -> list[int]:
    """Some of the units: spread unevenly, the first, or the last ones. One pattern alone may be right by chance."""
    units = range(group.units)
    kept = (
        [unit for unit in units if (unit * 7 + 3) % 5 < 3],
        list(units[: group.units // 2]),
        list(units[group.units - max(1, group.units // 3) :]),
    )[pattern]
    return kept if 0 < len(kept) < group.units else [group.units - 1]


def _likely(network: nn.Module, group: Group, modules: list[str]) -> Group:
    """The group with every attribute that has the number of its units and, for heads, a name that says so."""
    counts = [
        count
        for count in _attributes(network, group, modules)
        if count.per_unit == 1 and (group.kind == "heads") and "head" in count.attribute
    ]
    return replace(group, counts=tuple(counts))


def _candidates(network: nn.Module, group: Group, modules: list[str]) -> Iterator[Group]:
    """The group with ever more of the attributes that could count its units."""
    found = _attributes(network, group, modules)
    units = [count for count in found if count.per_unit == 1]
    sets = [[], units, found, *([one] for one in found), *itertools.combinations(found, 2)]
    seen: set[tuple[Count, ...]] = set()
    for counts in sets[:40]:
        if (key := tuple(counts)) not in seen:
            seen.add(key)
            yield replace(group, counts=key)


def _attributes(network: nn.Module, group: Group, modules: list[str]) -> list[Count]:
    """Integers, alone or in a tuple, that equal the number of units or a whole multiple that the group's axes have."""
    sizes = {group.units: 1}
    for axis in group.axes:
        per_unit, rest = divmod(axis.size, group.units)
        if rest == 0 and all(len(where) == per_unit for where in axis.indices):
            sizes.setdefault(axis.size, per_unit)
    found = []
    for name in modules:
        module = network.get_submodule(name)
        for attribute, value in sorted(vars(module).items()):
            if type(value) is int and value in sizes and not _own(module, attribute):
                found.append(Count(name, attribute, sizes[value]))
            elif isinstance(value, (tuple, list)) and not attribute.startswith("_"):
                found += [
                    Count(name, attribute, sizes[one], place)
                    for place, one in enumerate(value)
                    if type(one) is int and one in sizes and one > 1
                ]
    return found


def _own(module: nn.Module, attribute: str) -> bool:
    """Counts that surgery keeps by itself."""
    from torch import nn

    known = ("in_channels", "out_channels", "groups", "in_features", "out_features", "num_features", "num_embeddings",
             "embedding_dim", "num_channels", "num_parameters")  # fmt: skip
    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, nn.GroupNorm, nn.PReLU)
    return isinstance(module, layers) and attribute in known


def _randomised(network: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    """A copy with random weights: trained or zero-initialised ones could hide a wrong cut."""
    import torch

    made = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*made.named_parameters(), *made.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.dim() > 1:
                fan_in = max(1, tensor[0].numel())
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan_in**0.5)
            else:
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(0.5 + noise if name.endswith("weight") else noise - 0.5)
    sound = all(
        bool(torch.isfinite(one).all()) and float(one.std()) > 1e-6
        for one in outputs(made, example)
        if one.is_floating_point() and one.numel() > 1
    )
    return made if sound else copy.deepcopy(network)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
