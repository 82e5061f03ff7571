"""Which layers go and how wide each group stays: thousands of choices looked at by prediction, none of them trained.

The front over predicted time, predicted loss of the metric and file size is found by NSGA-II (Deb et al. 2002) as
optuna has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.search.pricing import Price
from pipeline.search.sensitivity import SHARES
from pipeline.search.space import Choice, Space

if TYPE_CHECKING:
    import optuna

    from pipeline.pruning.groups import Group

POPULATION = 48


@dataclass(frozen=True)
class Proposal:
    """A choice and what is predicted of it; lost: metric after the fine-tuning that it would get, 0.01 is one
    point."""

    choice: Choice
    lost: float
    price: Price


def allocate(
    space: Space,
    price: Callable[[Choice], Price],
    lost: Callable[[Choice], float],
    sensitive: Callable[[Choice], float],
    seed: int,
    trials: int,
    tick: Callable[[], None] = lambda: None,
    first: Sequence[Choice] = (),
) -> list[Proposal]:
    """The front of what was looked at, the slowest (and least lost) first; the same seed gives the same.

    sensitive: what a choice would lose without fine-tuning; by it the first generation is laid out. first: what else is
    looked at before others, as far as `trials` go.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # numpy takes seeds of 32 bits.
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed % 2**32)
    study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    for choice in dict.fromkeys([*first_choices(space, sensitive), *first]):
        study.enqueue_trial(_parameters(space, choice))
    known: dict[Choice, Proposal] = {}

    def look(trial: optuna.Trial) -> tuple[float, float, float]:
        tick()
        choice = space.tidy(_choice(space, trial))
        if choice not in known:
            known[choice] = Proposal(choice, lost(choice), price(choice))
        found = known[choice]
        return found.price.ms, found.lost, found.price.bytes

    study.optimize(look, n_trials=trials)
    left = [one for one in known.values() if space.rows or not one.choice.nothing]
    return sorted(front(left), key=lambda one: (-one.price.ms, one.lost, one.price.bytes, repr(one.choice)))


def first_choices(space: Space, sensitive: Callable[[Choice], float]) -> list[Choice]:
    """A staircase: ever more of the layers, the least sensitive first; each with all groups whole, 3/4, 1/2 and 1/4."""
    order = sorted(space.layers, key=lambda name: (sensitive(Choice((name,))), space.layers.index(name)))
    found = []
    for count in range(len(order) + 1):
        for share in (1.0, *SHARES):
            widths = tuple((group.name, _nearest(space, group, share)) for group in space.groups)
            found.append(space.tidy(Choice(tuple(order[:count]), widths)))
    # Where rows of embeddings go in any case, they may go alone.
    return [choice for choice in dict.fromkeys(found) if space.rows or not choice.nothing]


def one_by_one(space: Space, price: Callable[[Choice], Price], lost: Callable[[Choice], float]) -> list[Choice]:
    """Mild choices, which a staircase of all groups at once leaves out: ever more of the groups at 3/4, 1/2 and 1/4,
    and then ever more of these and of the layers, first what loses the least for the time that it saves."""
    whole = price(Choice()).ms
    narrower = []
    for group in space.groups:
        widths = {_nearest(space, group, share) for share in SHARES}
        narrower += [Choice((), ((group.name, width),)) for width in sorted(widths - {group.units}, reverse=True)]
    layers = [Choice((name,)) for name in space.layers]
    dear = {one: lost(one) / max(1e-9, whole - price(one).ms) for one in [*narrower, *layers]}
    found = []
    for cuts in (narrower, list(dear)):
        removed: list[str] = []
        left: dict[str, int] = {}
        for cut in sorted(cuts, key=lambda one: (dear[one], repr(one))):
            removed += cut.remove
            left |= {name: min(width, left.get(name, width)) for name, width in cut.widths}
            found.append(space.tidy(Choice(tuple(removed), tuple(left.items()))))
    return list(dict.fromkeys(found))


def _nearest(space: Space, group: Group, share: float) -> int:
    """The width that it may have which is nearest to that share of its units."""
    return min(space.options[group.name], key=lambda width: abs(width - share * group.units))


def front(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Those than which no other is as good in time, loss and size at once, and better in one."""
    ordered = sorted(proposals, key=lambda one: (one.price.ms, one.lost, one.price.bytes, repr(one.choice)))
    kept: list[Proposal] = []
    for one in ordered:
        if not any(other.lost <= one.lost and other.price.bytes <= one.price.bytes for other in kept):
            kept.append(one)
    return kept


def pick(
    proposals: Sequence[Proposal], aims: Sequence[float], tried: Sequence[Choice], fits: Callable[[Price], bool]
) -> list[Proposal]:
    """For each aim (metric that may be lost), the fastest choice that is predicted to lose no more and isn't tried yet.

    Those whose price fits come before those whose doesn't; where nothing holds an aim, the one that loses least.
    """
    taken, found = set(tried), []
    for aim in aims:
        free = [one for one in proposals if one.choice not in taken]
        if not free:
            break
        within = [one for one in free if one.lost <= aim] or [min(free, key=lambda one: one.lost)]
        best = min(within, key=lambda one: (not fits(one.price), one.price.ms, one.price.bytes, one.lost))
        taken.add(best.choice)
        found.append(best)
    return found


def _parameters(space: Space, choice: Choice) -> dict[str, int]:
    widths = dict(choice.widths)
    told = {f"layer {name}": int(name in choice.remove) for name in space.layers}
    for group in space.groups:
        options = space.options[group.name]
        told[f"group {group.name}"] = options.index(widths.get(group.name, group.units))
    return told


def _choice(space: Space, trial: optuna.Trial) -> Choice:
    removed = tuple(name for name in space.layers if trial.suggest_int(f"layer {name}", 0, 1))
    widths = []
    for group in space.groups:
        options = space.options[group.name]
        widths.append((group.name, options[trial.suggest_int(f"group {group.name}", 0, len(options) - 1)]))
    return Choice(removed, tuple(widths))
