"""One round of structured pruning: rows first, then layers, then filters, heads and neurons of what is left; proven."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.criteria import CRITERIA, NEEDS
from pipeline.pruning.depth import least_important
from pipeline.pruning.evidence import Evidence, see
from pipeline.pruning.layers import evaluating, find_layers
from pipeline.pruning.plan import Action, PruningPlan, Remove, actions_for, replay
from pipeline.pruning.proven import REPORT, WrongCut, cut_proven
from pipeline.pruning.selection import ImpossibleRatio, most_to_least
from pipeline.pruning.sizes import same_shapes, size_of, stored_numbers
from pipeline.pruning.trial import outputs
from pipeline.pruning.vocabulary import find_embeddings, rows_action, used_rows
from pipeline.pruning.widths import by_budget, by_name, by_shares, check_names, room_of
from pipeline.pruning.wish import Outcome, Wish

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.groups import Group, Size, Structure

__all__ = ["Evidence", "ImpossibleRatio", "Outcome", "Wish", "WrongCut", "shrink"]


def shrink(
    network: nn.Module,
    original: nn.Module,
    example: tuple[Tensor, ...],
    wish: Wish,
    evidence: Evidence,
    samples: Sequence[Tensor] | None = None,
) -> Outcome:
    """Makes `network` smaller in place and returns what was done.

    original: the unpruned architecture (the shares count from it; its weights don't matter); example: the network's
    inputs, a batch of two or more samples each; samples: batches of rows (int64 [B]) over ALL training samples, which
    `vocabulary` looks through (default: the evidence's batches). Raises ImpossibleRatio where the wish takes nothing,
    takes more than there is or can't be met, NotTraceable, MissingEvidence, and WrongCut; the network is then not to
    be used.
    """
    _check(wish)
    narrows = bool(wish.budget is not None or wish.filters or wish.heads or wish.neurons or wish.widths)
    shortens = bool(wish.blocks or wish.remove)
    with evaluating(network):
        untouched = same_shapes(network, original)
        swaps = prepare(network)
        structure = find_structure(network, example) if not (wish.vocabulary or shortens) else None
        before = structure.size({}) if structure is not None else size_of(network, example)
        outcome = Outcome(before, before, before if untouched else size_of(original, example), swaps)
        if wish.vocabulary:
            _drop_rows(network, original, wish, evidence, samples, outcome)
        if shortens:
            _drop_layers(network, original, example, wish, evidence, outcome)
        if narrows:
            structure = structure or find_structure(network, example)
            _narrow(network, original, example, wish, evidence, structure, outcome)
        else:
            outcome.after = size_of(network, example)
    return outcome


def _check(wish: Wish) -> None:
    """Raises ImpossibleRatio for shares that no network could lose."""
    shares = {key: getattr(wish, key) for key in ("blocks", "filters", "heads", "neurons")}
    if wish.budget is not None:
        if any(shares[key] for key in ("filters", "heads", "neurons")):
            raise ImpossibleRatio(
                f"A budget of {wish.budget[0]} and shares of units at once",
                where="shrink",
                remedy="give one of them; blocks go with either",
            )
        shares[wish.budget[0]] = wish.budget[1]
    for key, share in shares.items():
        if share >= 1 and not (key == "blocks" and share == 1):  # all layers may go: what is around them stays
            raise ImpossibleRatio(
                f"{key} = {share:g} leaves nothing", where=f"shrink.{key}", remedy="ask for less than 1, e.g. 0.5"
            )
        if not share >= 0:
            raise ImpossibleRatio(
                f"{key} = {share:g} is no share", where=f"shrink.{key}", remedy="ask for more than 0, e.g. 0.5"
            )
    if not (any(shares.values()) or wish.remove or wish.widths or wish.vocabulary or not wish.final):
        raise ImpossibleRatio(
            "Nothing is to go",
            where="shrink",
            remedy="give blocks, filters, heads, neurons, macs, params, bytes, remove or widths",
        )


def _drop_rows(
    network: nn.Module,
    original: nn.Module,
    wish: Wish,
    evidence: Evidence,
    samples: Sequence[Tensor] | None,
    outcome: Outcome,
) -> None:
    could, tied = find_embeddings(original)
    there = [name for name in find_embeddings(network)[0] if not _named(wish.skip, [name])]
    used, fixed = used_rows(network, there, evidence.inputs_of, evidence.batches if samples is None else samples)
    left = {one.module: one.reason for one in [*tied, *fixed]}
    outcome.left_alone.update(left)
    if not could or (there and not used):
        reasons = "; ".join(f"{module}: {reason}" for module, reason in left.items())
        raise ImpossibleRatio(
            "No embedding of this network can lose rows",
            where="shrink.vocabulary" + (f" ({reasons})" if reasons else ""),
            remedy="leave vocabulary out",
        )
    for name, rows in used.items():
        action = rows_action(network, name, rows, wish.unknown)
        if action is None:
            outcome.left_alone[name] = "the training samples use all of its rows"
            continue
        replay(PruningPlan([action]), network)
        outcome.actions.append(action)
        outcome.rows[name] = (action.of, len(action.kept))


def _drop_layers(
    network: nn.Module,
    original: nn.Module,
    example: tuple[Tensor, ...],
    wish: Wish,
    evidence: Evidence,
    outcome: Outcome,
) -> None:
    found, kept = find_layers(original, example)
    outcome.left_alone.update({one.module: one.reason for one in kept})
    there = []
    for name in found:
        if _named(wish.skip, [name]) or any(_under(name, prefix) for prefix in wish.skip):
            outcome.left_alone[name] = "shrink.skip names it"
        else:
            there.append(name)
    left = [name for name in there if next(network.get_submodule(name).parameters(), None) is not None]
    if wish.remove:
        check_names("remove", wish.remove, there, outcome.left_alone)
        _remove(network, example, [name for name in left if name in wish.remove], outcome)
        return
    wanted = int(wish.blocks * len(there) + 0.5)
    if wanted == 0:
        if wish.final:
            raise _no_layer(wish.blocks, len(there), outcome.left_alone)
        return
    count = wanted - (len(there) - len(left))
    if count <= 0:
        return
    chosen = least_important(
        network, left, count, wish.criterion, wish.layer_importance, _started_alike(evidence, outcome)
    )
    _remove(network, example, [name for name in left if name in chosen], outcome)


def _remove(network: nn.Module, example: tuple[Tensor, ...], chosen: Sequence[str], outcome: Outcome) -> None:
    """Takes these layers out of the network; the outputs must keep their shapes."""
    actions: list[Action] = [Remove(name) for name in chosen]
    wanted_shapes = [one.shape for one in outputs(network, example)]
    replay(PruningPlan(actions), network)
    if [one.shape for one in outputs(network, example)] != wanted_shapes:
        raise WrongCut("Without these layers the outputs change their shapes", where=", ".join(chosen), remedy=REPORT)
    outcome.actions += actions
    outcome.blocks += chosen


def _no_layer(share: float, there: int, left: Mapping[str, str]) -> ImpossibleRatio:
    reasons = "; ".join(f"{module}: {reason}" for module, reason in left.items())
    return ImpossibleRatio(
        f"blocks = {share:g} of {there} removable residual blocks or transformer layers is none",
        where="shrink.blocks" + (f" ({reasons})" if reasons else ""),
        remedy=f"ask for at least {0.5 / there:.2f}"
        if there
        else "use shrink.filters, heads or neurons: this network has no removable layer",
    )


def _narrow(
    network: nn.Module,
    original: nn.Module,
    example: tuple[Tensor, ...],
    wish: Wish,
    evidence: Evidence,
    structure: Structure,
    outcome: Outcome,
) -> None:
    outcome.left_alone.update({one.module: one.reason for one in structure.left})
    groups = _allowed(structure, wish, outcome)
    scores = _scores(network, groups, wish, _started_alike(evidence, outcome))
    rooms = {group.name: room_of(group, wish, network, original) for group in groups}
    orders = {name: most_to_least(values) for name, values in scores.items()}

    def size(widths: Mapping[str, int]) -> Size:
        return structure.size(
            {name: orders[name][:width] for name, width in widths.items() if width < rooms[name].units}
        )

    if wish.widths:
        widths = by_name(rooms, wish)
    elif wish.budget is not None:
        widths = by_budget(rooms, scores, wish, outcome.left_alone, outcome.whole, size)
    else:
        widths = by_shares(rooms, scores, wish, outcome.left_alone)
    choice = [
        (group, sorted(orders[group.name][: widths[group.name]]))
        for group in groups
        if widths[group.name] < group.units
    ]
    cut_proven(network, choice, example)
    outcome.actions += actions_for(choice)
    outcome.units = {group.name: (group.kind, group.units, len(kept)) for group, kept in choice}
    outcome.after = size(widths)
    if stored_numbers(network) != (outcome.after.params, outcome.after.bytes):
        raise WrongCut(
            f"{stored_numbers(network)[0]} parameters are left where {outcome.after.params} were expected",
            where=", ".join(group.name for group, _ in choice),
            remedy=REPORT,
        )


def _allowed(structure: Structure, wish: Wish, outcome: Outcome) -> list[Group]:
    """The groups that are asked for and not skipped."""
    if wish.widths:
        check_names("widths", wish.widths, [group.name for group in structure.groups], outcome.left_alone)
        return [group for group in structure.groups if group.name in wish.widths]
    kinds = wish.structures if wish.budget is not None else [
        kind for kind in ("filters", "heads", "neurons") if getattr(wish, kind) > 0
    ]  # fmt: skip
    found = []
    for group in structure.groups:
        if _named(wish.skip, [group.name, *(axis.tensor for axis in group.axes if axis.makes)]):
            outcome.left_alone[group.name] = "shrink.skip names it"
        elif group.kind in kinds:
            found.append(group)
    return found


def _named(prefixes: Iterable[str], names: Iterable[str]) -> bool:
    """Whether one of the names is a module of `prefixes` or inside of one."""
    return any(_under(prefix, name) for name in names for prefix in prefixes)


def _under(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _scores(network: nn.Module, groups: list[Group], wish: Wish, evidence: Evidence) -> dict[str, Tensor]:
    """Importance of each unit by group. Raises ImpossibleRatio naming the module whose units have no finite one."""
    import torch

    seen = see(network, groups, NEEDS[wish.criterion], evidence)
    scores = {group.name: CRITERIA[wish.criterion](seen[group.name]) for group in groups}
    for name, values in scores.items():
        if not torch.isfinite(values).all():
            raise ImpossibleRatio(
                f"The importance of some units by {wish.criterion!r} is NaN or infinite",
                where=name,
                remedy="look at the weights: was the training sound?",
            )
    return scores


def _started_alike(evidence: Evidence, outcome: Outcome) -> Evidence:
    """The evidence with what has gone in this round gone from the network before training, too."""
    if evidence.start is None or not outcome.actions:
        return evidence
    start = copy.deepcopy(evidence.start)
    replay(PruningPlan(list(outcome.actions)), start)
    return replace(evidence, start=start)
