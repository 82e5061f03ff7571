"""One round of structured pruning: blocks first, then channels of what is left; gives the plan's new actions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.pruning.blocks import block_scores, find_blocks
from pipeline.pruning.criteria import CRITERIA, NEEDS_GRADIENTS
from pipeline.pruning.filters import find_groups, keep_all
from pipeline.pruning.plan import Action, PruningPlan, Remove, replay
from pipeline.pruning.selection import (
    ImpossibleRatio,
    channel_scores,
    global_widths,
    local_widths,
    most_important,
    round_width,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Wish:
    """What one round shall reach, counted from the original network: shares of blocks and of channels that are gone."""

    blocks: float
    filters: float
    criterion: str
    ranking: str
    min_width: int
    alignment: int
    final: bool = True  # an earlier one of several rounds may be too small to take anything


@dataclass
class Evidence:
    """Where importance comes from. loss_of(rows) runs the network on training samples; batches are rows (int64 [B])."""

    loss_of: Callable[[Tensor], Tensor]
    batches: list[Tensor]


@dataclass
class Outcome:
    """What really went. channels: {group: (before, after)}; left_alone: {module: reason}."""

    actions: list[Action] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    channels: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_alone: dict[str, str] = field(default_factory=dict)


def shrink(network: nn.Module, original: nn.Module, example: Tensor, wish: Wish, evidence: Evidence) -> Outcome:
    """Makes `network` smaller in place and returns what was done.

    `original` is the unpruned architecture (its sizes count for the ratios), `example` a batch [N, ...].
    Raises ImpossibleRatio where the wish would take nothing, or more than there is.
    """
    outcome = Outcome()
    with _all_trainable(network):
        if wish.blocks > 0:
            _drop_blocks(network, original, example, wish, evidence, outcome)
        if wish.filters > 0:
            _drop_channels(network, original, example, wish, evidence, outcome)
    return outcome


@contextlib.contextmanager
def _all_trainable(network: nn.Module) -> Iterator[None]:
    """Frozen parameters get gradients meanwhile: importance counts there as anywhere, and cutting needs no training."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    network.requires_grad_(True)
    try:
        yield
    finally:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in frozen)


def _drop_blocks(
    network: nn.Module, original: nn.Module, example: Tensor, wish: Wish, evidence: Evidence, outcome: Outcome
) -> None:
    there, _ = find_blocks(original, example)
    left, kept = find_blocks(network, example)
    outcome.left_alone.update({block.module: block.reason for block in kept})
    wanted = int(wish.blocks * len(there) + 0.5)
    if wanted == 0 and not wish.final:
        return
    if wanted == 0:
        raise ImpossibleRatio(
            f"blocks = {wish.blocks:g} of {len(there)} removable residual blocks is none",
            where="shrink.blocks" + (f" ({'; '.join(f'{b.module}: {b.reason}' for b in kept)})" if kept else ""),
            remedy=f"ask for at least {1 / len(there):.2f}"
            if there
            else "use shrink.filters: this network has no removable block",
        )
    count = wanted - (len(there) - len(left))
    if count <= 0:
        return
    scores = block_scores(network, left, CRITERIA[wish.criterion], evidence.loss_of, evidence.batches)
    for name in sorted(sorted(left, key=lambda name: scores[name])[:count]):
        outcome.actions.append(Remove(name))
        outcome.blocks.append(name)
    replay(PruningPlan(list(outcome.actions)), network)


def _drop_channels(
    network: nn.Module, original: nn.Module, example: Tensor, wish: Wish, evidence: Evidence, outcome: Outcome
) -> None:
    groups, left = find_groups(network, example)
    outcome.left_alone.update({one.module: one.reason for one in left})
    if not groups:
        reasons = "; ".join(f"{one.module}: {one.reason}" for one in left)
        raise ImpossibleRatio(
            "No channel of this network can be cut", where=reasons, remedy="use shrink.blocks, or see the reasons"
        )
    before = {group.name: group.channels for group in groups}
    at_first = {group.name: _outputs(original.get_submodule(group.name)) for group in groups}
    if all(width * (1 - wish.filters) < min(wish.min_width, width) for width in at_first.values()):
        raise ImpossibleRatio(
            f"filters = {wish.filters:g} leaves fewer than min_width = {wish.min_width} channels in every group",
            where="shrink.filters",
            remedy=f"ask for at most {1 - wish.min_width / max(at_first.values()):.2f}, or lower shrink.min_width",
        )
    if wish.criterion in NEEDS_GRADIENTS:
        _collect_gradients(network, evidence)
    scores = {group.name: channel_scores(network, group, CRITERIA[wish.criterion]) for group in groups}
    network.zero_grad(set_to_none=True)
    if wish.ranking == "global":
        after = global_widths(scores, before, at_first, wish.filters, wish.alignment, wish.min_width)
    else:
        after = local_widths(before, at_first, wish.filters, wish.alignment, wish.min_width)
    if after == at_first and wish.final:
        smallest = min(width - round_width(0, width, wish.alignment, wish.min_width) for width in at_first.values())
        raise ImpossibleRatio(
            f"filters = {wish.filters:g}, rounded to multiples of {wish.alignment}, takes no channel",
            where=f"shrink.filters, widths {sorted(set(at_first.values()))}",
            remedy="ask for more, or lower the target's alignment"
            if smallest
            else "lower shrink.min_width or the alignment",
        )
    choice = []
    for group in groups:
        if after[group.name] < before[group.name]:
            choice.append((group, most_important(scores[group.name], after[group.name])))
            outcome.channels[group.name] = (before[group.name], after[group.name])
    actions: list[Action] = [*keep_all(choice)]
    replay(PruningPlan(actions), network)
    outcome.actions += actions


def _collect_gradients(network: nn.Module, evidence: Evidence) -> None:
    """Leaves the gradient of the mean loss over all of the evidence in the parameters; batch statistics stay fixed."""
    network.eval()
    network.zero_grad(set_to_none=True)
    total = sum(len(rows) for rows in evidence.batches)
    for rows in evidence.batches:
        (evidence.loss_of(rows) * (len(rows) / total)).backward()  # type: ignore[no-untyped-call]


def _outputs(module: nn.Module) -> int:
    width = getattr(module, "out_channels", None) or getattr(module, "out_features", None)
    assert isinstance(width, int)
    return width
