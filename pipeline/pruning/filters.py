"""Groups of channels that must go together: what residual adds, batch norms and flattening couple."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pipeline.pruning.plan import Keep, PruningPlan, replay

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Member:
    """One module's share in a group. indices[c]: which of its `size` channels belong to the group's channel c."""

    module: str
    side: Literal["out", "in"]
    indices: tuple[tuple[int, ...], ...]
    size: int


@dataclass(frozen=True)
class Group:
    """`channels` channels that can only go together, named after the module whose outputs they are."""

    name: str
    channels: int
    members: tuple[Member, ...]

    def keep(self, kept: list[int]) -> list[Keep]:
        """The plan's actions that leave the channels `kept` (sorted) in every member."""
        stays = set(kept)
        actions = []
        for member in self.members:
            gone = {index for c, indices in enumerate(member.indices) if c not in stays for index in indices}
            left = tuple(index for index in range(member.size) if index not in gone)
            actions.append(Keep(member.module, member.side, left, member.size))
        return actions


def keep_all(choice: Iterable[tuple[Group, list[int]]]) -> list[Keep]:
    """One action a module's side for all groups: where two meet in one layer (a concatenation), it is cut once."""
    kept: dict[tuple[str, str], Keep] = {}
    for group, channels in choice:
        for action in group.keep(channels):
            key = (action.module, action.side)
            both = set(kept[key].kept) if key in kept else set(action.kept)
            kept[key] = replace(action, kept=tuple(index for index in action.kept if index in both))
    return list(kept.values())


@dataclass(frozen=True)
class LeftAlone:
    """A module that could not be pruned, and why."""

    module: str
    reason: str


def find_groups(network: nn.Module, example: Tensor) -> tuple[list[Group], list[LeftAlone]]:
    """Every group of channels that can be cut, and what can't be with the reason. `example` is a batch [N, ...].

    The coupling is Torch-Pruning's dependency graph (DepGraph, arXiv 2301.12900); each group is then tried on a copy,
    so the network's outputs keep their shape and its forward pass works.
    """
    import torch
    import torch_pruning as tp
    from torch import nn

    wanted = _shape(network, example)
    with torch.enable_grad():
        # It follows gradients back from the outputs, so it doesn't see what is frozen.
        trainable = copy.deepcopy(network).eval().requires_grad_(True)
        graph = tp.DependencyGraph().build_dependency(trainable, example_inputs=example)
    names = {module: name for name, module in graph.model.named_modules()}
    groups: list[Group] = []
    left: list[LeftAlone] = []
    for raw in graph.get_all_groups(root_module_types=(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
        root = names[raw[0].dep.target.module]
        found = _group(root, raw, names)
        if isinstance(found, Group):
            reason = _trouble(network, found, example, wanted)
            if reason is None:
                groups.append(found)
                continue
        else:
            reason = found
        left.append(LeftAlone(root, reason))
    order = {name: place for place, name in enumerate(name for name, _ in network.named_modules())}
    return sorted(groups, key=lambda group: order[group.name]), sorted(left, key=lambda one: order[one.module])


def _group(root: str, raw: object, names: dict[nn.Module, str]) -> Group | str:
    """Our own form of a Torch-Pruning group, or why there is none."""
    members: dict[tuple[str, str], list[list[int]]] = {}
    channels = len(raw[0].idxs)  # type: ignore[index]
    for item in raw:  # type: ignore[attr-defined]
        module = item.dep.target.module
        name = names.get(module)
        if name is None:
            if _has_weights(module):
                return "coupled to a parameter that belongs to no layer"
            continue  # an element-wise operation or a reshape: nothing to cut
        if (reason := _uncuttable(module)) is not None:
            return f"coupled to {name!r}, {reason}"
        out = "out" in item.dep.handler.__name__ or _depthwise(module)
        indices = members.setdefault((name, "out" if out else "in"), [[] for _ in range(channels)])
        for index, origin in zip(item.idxs, item.root_idxs, strict=True):
            if index not in indices[origin]:
                indices[origin].append(index)
    found = []
    for (name, side), indices in members.items():
        module = next(module for module, known in names.items() if known == name)
        found.append(
            Member(name, "out" if side == "out" else "in", tuple(map(tuple, indices)), _channels(module, side))
        )
    # The root first, then by name: the same network gives the same plan.
    found.sort(key=lambda member: (member.module != root, member.module, member.side))
    return Group(root, channels, tuple(found))


def _depthwise(module: nn.Module) -> bool:
    groups = getattr(module, "groups", 1)
    return groups > 1 and groups == getattr(module, "out_channels", 0) == getattr(module, "in_channels", 0)


def _uncuttable(module: nn.Module) -> str | None:
    from torch import nn

    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return None if module.groups == 1 or _depthwise(module) else "a grouped convolution"
    if isinstance(module, (nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) or not _has_weights(module):
        return None
    return f"a {type(module).__name__}, which can't be cut"


def _has_weights(module: object) -> bool:
    from torch import nn

    if isinstance(module, nn.Parameter):
        return True
    return isinstance(module, nn.Module) and next(module.parameters(), None) is not None


def _channels(module: nn.Module, side: str) -> int:
    names = ("out_channels", "out_features", "num_features") if side == "out" else ("in_channels", "in_features")
    return next(int(getattr(module, name)) for name in names if hasattr(module, name))


def _shape(network: nn.Module, example: Tensor) -> torch.Size:
    import torch

    with torch.no_grad():
        shape: torch.Size = network.eval()(example).shape
    return shape


def _trouble(network: nn.Module, group: Group, example: Tensor, wanted: torch.Size) -> str | None:
    """Why cutting this group is wrong: it is tried on a copy, without its first channel."""
    if group.channels < 2:
        return "it has one channel"
    trial = copy.deepcopy(network)
    try:
        replay(PruningPlan(list(group.keep(list(range(1, group.channels))))), trial)
        shape = _shape(trial, example)
    except Exception as error:  # a network of any kind may raise anything
        return f"without one of its channels the forward pass fails: {str(error).splitlines()[0]}"
    return None if shape == wanted else "its channels are the network's outputs"
