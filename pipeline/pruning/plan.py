"""What pruning did, as data: readable actions that rebuild the smaller network from the original (rule 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = "edgewright-pruning/1"


class PlanMismatch(EdgewrightError):
    """A plan replayed on a network that it was not made for."""


@dataclass(frozen=True)
class Keep:
    """Channels that stay in one module. side: whether its outputs or its inputs are cut; kept: indices of `of`."""

    module: str
    side: Literal["out", "in"]
    kept: tuple[int, ...]
    of: int
    kind: Literal["keep"] = "keep"


@dataclass(frozen=True)
class Remove:
    """A module that goes: nn.Identity takes its place."""

    module: str
    kind: Literal["remove"] = "remove"


Action = Keep | Remove


@dataclass
class PruningPlan:
    """Actions in the order in which they were taken; indices count in the network as it was then."""

    actions: list[Action] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "actions": [asdict(action) for action in self.actions]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PruningPlan:
        """Raises PlanMismatch where `content` is no plan of this schema."""
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is {content['schema']!r}")
            return cls([_action(entry) for entry in content["actions"]])
        except (KeyError, TypeError, ValueError) as error:
            raise PlanMismatch(
                f"This is no pruning plan: {error}", remedy=f"give a plan of the schema {SCHEMA}"
            ) from error


def _action(entry: Mapping[str, Any]) -> Action:
    if entry["kind"] == "remove":
        return Remove(entry["module"])
    if entry["kind"] == "keep":
        return Keep(entry["module"], entry["side"], tuple(entry["kept"]), entry["of"])
    raise ValueError(f"unknown action {entry['kind']!r}")


def replay(plan: PruningPlan, network: nn.Module) -> None:
    """Makes `network` smaller in place: weights are sliced and the attributes that count channels updated.

    Raises PlanMismatch where a module is not there, of another size, or of a kind that can't be cut.
    """
    from torch import nn

    for action in plan.actions:
        try:
            module = network.get_submodule(action.module)
        except AttributeError as error:
            raise _mismatch(action.module, "is not there") from error
        if isinstance(action, Remove):
            _replace(network, action.module, nn.Identity())
        else:
            _cut(module, action)


def _replace(network: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, new)


def _cut(module: nn.Module, action: Keep) -> None:
    """One module's channels. Grouped convolutions other than depthwise ones are not cut here."""
    import torch
    from torch import nn

    kept = torch.tensor(action.kept, dtype=torch.long)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if isinstance(module, norms):
        _check(action, module.num_features)
        for name in ("weight", "bias", "running_mean", "running_var"):
            _slice(module, name, 0, kept)
        module.num_features = len(kept)
    elif (
        isinstance(module, convolutions)
        and module.groups == module.in_channels == module.out_channels
        and module.groups > 1
    ):
        _check(action, module.out_channels)
        _slice(module, "weight", 0, kept)
        _slice(module, "bias", 0, kept)
        module.in_channels = module.out_channels = module.groups = len(kept)
    elif isinstance(module, convolutions) and module.groups == 1:
        out = action.side == "out"
        _check(action, module.out_channels if out else module.in_channels)
        _slice(module, "weight", 0 if out else 1, kept)
        if out:
            _slice(module, "bias", 0, kept)
            module.out_channels = len(kept)
        else:
            module.in_channels = len(kept)
    elif isinstance(module, nn.Linear):
        out = action.side == "out"
        _check(action, module.out_features if out else module.in_features)
        _slice(module, "weight", 0 if out else 1, kept)
        if out:
            _slice(module, "bias", 0, kept)
            module.out_features = len(kept)
        else:
            module.in_features = len(kept)
    else:
        raise _mismatch(action.module, f"is a {type(module).__name__}, which can't be cut")


def _slice(module: nn.Module, name: str, axis: int, kept: Tensor) -> None:
    from torch import nn

    value: Tensor | None = getattr(module, name)
    if value is None:
        return
    cut = value.detach().index_select(axis, kept).clone()
    if isinstance(value, nn.Parameter):
        setattr(module, name, nn.Parameter(cut, requires_grad=value.requires_grad))
    else:
        setattr(module, name, cut)


def _check(action: Keep, size: int) -> None:
    if size != action.of:
        raise _mismatch(
            action.module, f"has {size} channels on its {action.side} side where the plan counts {action.of}"
        )
    if not action.kept or min(action.kept) < 0 or max(action.kept) >= size:
        raise _mismatch(action.module, f"can't keep {len(action.kept)} of its {size} channels")


def _mismatch(module: str, what: str) -> PlanMismatch:
    return PlanMismatch(
        f"The module {module!r} {what}",
        where="replay of a pruning plan",
        remedy="replay it on the architecture that it was made for",
    )
