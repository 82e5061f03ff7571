"""What is seen while a network runs: activations and zeros of units and layers, and the gates of their Taylor form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from pipeline.pruning.criteria import missing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.criteria import Seen
    from pipeline.pruning.evidence import Evidence
    from pipeline.pruning.groups import Group
    from pipeline.pruning.watching import Look, Side, Use

Watch = Callable[["Look"], AbstractContextManager[None]]


def sides(network: nn.Module, groups: Sequence[Group], evidence: Evidence) -> dict[str, Side]:
    """By group's name, whether its units can be watched where they are read or only where they are made.

    Found on two samples. Raises MissingEvidence naming a group that can't be watched at all.
    """
    import torch

    from pipeline.pruning.watching import watch_groups

    found: dict[str, Side] = {}
    rows = evidence.shares("activations")[0][0][:2]
    tries: tuple[Side, Side] = ("read", "made")
    for side in tries:
        there: set[str] = set()
        wanted = {group.name: side for group in groups if group.name not in found}
        with torch.no_grad(), watch_groups(network, groups, wanted, _noting(there)):
            network(*evidence.inputs_of(rows))
        found |= dict.fromkeys(there, side)
    for group in groups:
        if group.name not in found:
            raise missing("activations", "No operation on these units could be watched", where=group.name)
    return found


def _noting(owners: set[str]) -> Look:
    def look(use: Use) -> Tensor:
        owners.add(use.owner)
        return use.value

    return look


def observe(network: nn.Module, watch: Watch, needs: frozenset[str], evidence: Evidence, seen: dict[str, Seen]) -> None:
    """Fills `activations`, `zeros` and `gates` of `seen` in, as far as `needs` names them. Raises MissingEvidence."""
    if needs & {"activations", "zeros"}:
        for name, (magnitude, zeros) in _activity(network, watch, evidence).items():
            seen[name].activations, seen[name].zeros = magnitude, zeros
    if "gates" in needs:
        for name, gates in _gates(network, watch, evidence).items():
            seen[name].gates = gates
    for name, one in seen.items():
        for field in needs & {"activations", "zeros", "gates"}:
            if getattr(one, field) is None:
                raise missing(field, "It never runs on the training samples", where=name)


def _activity(network: nn.Module, watch: Watch, evidence: Evidence) -> dict[str, Tensor]:
    """By owner, [2, units]: mean magnitude and share of zeros, over a batch's calls and then over the samples."""
    import torch

    total: dict[str, Tensor] = {}
    for rows, share in evidence.shares("activations"):
        calls: dict[str, list[Tensor]] = {}
        with torch.no_grad(), watch(_measuring(calls)):
            network(*evidence.inputs_of(rows))
        for name, found in calls.items():
            total[name] = total.get(name, 0) + torch.stack(found).mean(dim=0) * share
    return total


def _measuring(calls: dict[str, list[Tensor]]) -> Look:
    import torch

    def look(use: Use) -> Tensor:
        part = use.part.movedim(use.place.channel_dim, -1).float()
        flat = part.reshape(-1, part.shape[-1])
        both = torch.stack([flat.abs().mean(dim=0), (flat == 0).float().mean(dim=0)])
        calls.setdefault(use.owner, []).append(use.place.means(both).cpu())
        return use.value

    return look


def _gates(network: nn.Module, watch: Watch, evidence: Evidence) -> dict[str, Tensor]:
    """By owner, [units]: mean over samples of |sum of part x d loss / d value| over uses, positions and channels."""
    import torch

    total: dict[str, Tensor] = {}
    for rows, share in evidence.shares("gates"):
        uses: list[tuple[Use, Tensor]] = []
        with watch(_following(uses)):
            loss = evidence.loss_of(network, rows)
        batch: dict[str, Tensor] = {}
        slopes = derivatives(loss, [value for _, value in uses], "gates")
        for (use, _), slope in zip(uses, slopes, strict=True):
            change = (use.part * slope).movedim(use.place.channel_dim, -1).float()
            batch[use.owner] = batch.get(use.owner, 0) + use.place.sums(by_sample(change, len(rows)))
        for name, changes in batch.items():
            # The loss is the batch's mean: a sample's own loss weighs as many times more as there are samples.
            total[name] = total.get(name, 0) + changes.abs().sum(dim=0).cpu() * share
    return {name: torch.as_tensor(one) for name, one in total.items()}


def _following(uses: list[tuple[Use, Tensor]]) -> Look:
    def look(use: Use) -> Tensor:
        # An alias has a gradient of its own: of this one use. A copy is passed on where in-place work may follow.
        alias = use.value.view_as(use.value) if use.value.requires_grad else use.value.detach().requires_grad_()
        uses.append((use, alias))
        return alias if use.alone else alias.clone()

    return look


def derivatives(loss: Tensor, tensors: Sequence[Tensor], field: str) -> list[Tensor]:
    """d loss / d each tensor, zeros where it depends on it not. Raises MissingEvidence where it depends on none."""
    import torch

    if loss.numel() != 1:
        raise missing(field, f"The loss is no single number, its shape is {list(loss.shape)}")
    found = torch.autograd.grad(loss, list(tensors), allow_unused=True) if loss.requires_grad and tensors else ()
    if all(one is None for one in found) and tensors:
        raise missing(field, "The loss has no gradient in any of the network's weights")
    return [torch.zeros_like(one) if slope is None else slope for one, slope in zip(tensors, found, strict=True)]


def by_sample(x: Tensor, samples: int) -> Tensor:
    """[..., channels] -> [samples, channels], summed over all else.

    The samples are the first dimension, the second (sequences first), or lead a flattened first one, whichever fits
    first. What is there once for the whole batch counts for each sample alike.
    """
    if x.dim() > 1 and x.shape[0] == samples:
        return x.flatten(1, -2).sum(dim=1) if x.dim() > 2 else x
    if x.dim() > 2 and x.shape[1] == samples:
        return by_sample(x.transpose(0, 1), samples)
    if x.dim() > 1 and x.shape[0] % samples == 0:
        return x.reshape(samples, -1, x.shape[-1]).sum(dim=1)
    return (x.reshape(-1, x.shape[-1]).sum(dim=0) / samples).expand(samples, -1)
