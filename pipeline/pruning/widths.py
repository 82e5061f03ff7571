"""How many units each group keeps: from shares of each kind, or from one budget for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.pruning import surgery
from pipeline.pruning.budget import TOLERANCE, fit_budget, fit_units
from pipeline.pruning.groups import Group, Kind, Size
from pipeline.pruning.selection import ImpossibleRatio, Room, make_ladder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.wish import Wish

UNITS: dict[Kind, str] = {"filters": "channels", "heads": "heads", "neurons": "neurons"}


def room_of(group: Group, wish: Wish, network: nn.Module, original: nn.Module) -> Room:
    """How far a group may shrink. Alignment and minimum count channels; a unit may be several of them."""
    axis = group.axes[0]
    try:
        size = surgery.find_tensor(original, axis.tensor).shape[axis.axis]
    except (surgery.CantCut, IndexError):  # what made these units then is not what makes them now
        size = axis.size
    units = max(group.units, round(group.units * size / axis.size))
    if group.kind == "heads":
        return Room(group.units, units, 1, max(1, wish.min_heads), group.kind)
    channels = _channels(group, network)
    step = wish.alignment // math.gcd(wish.alignment, channels)
    return Room(group.units, units, step, max(1, math.ceil(wish.min_width / channels)), group.kind)


def _channels(group: Group, network: nn.Module) -> int:
    """Channels of one unit where it is narrowest (a grouped convolution's inputs name those of one group only)."""
    found = []
    for axis in group.axes:
        owner = network.get_submodule(axis.tensor.rpartition(".")[0])
        if axis.axis == 0 or getattr(owner, "groups", 1) == 1:
            found.append(max(map(len, axis.indices)))
    return max(1, min(found, default=1))


def by_shares(
    rooms: Mapping[str, Room], scores: Mapping[str, Tensor], wish: Wish, left: Mapping[str, str]
) -> dict[str, int]:
    """Units that each group keeps when each kind loses its own share. Raises ImpossibleRatio."""
    widths = {name: room.units for name, room in rooms.items()}
    for kind in UNITS:
        share = getattr(wish, kind)
        if share == 0:
            continue
        own = {name: room for name, room in rooms.items() if room.kind == kind}
        _check_share(kind, share, own, wish, left)
        after = fit_units(make_ladder(own, scores, wish.ranking), share, wish.ranking).widths
        if wish.final and all(after[name] == room.original for name, room in own.items()):
            raise _takes_nothing(kind, share, own, wish)
        widths.update(after)
    return widths


def by_name(rooms: Mapping[str, Room], wish: Wish) -> dict[str, int]:
    """Units that each group keeps where the wish says so outright. Raises ImpossibleRatio."""
    for name, width in wish.widths.items():
        if not 1 <= width <= rooms[name].original:
            raise ImpossibleRatio(
                f"{name} has {rooms[name].original} units: it can't keep {width}",
                where=f"shrink.widths.{name}",
                remedy=f"give a number from 1 to {rooms[name].original}",
            )
    widths = {}
    for name, room in rooms.items():
        gone = wish.by_now(1 - wish.widths[name] / room.original)
        widths[name] = min(room.units, max(wish.widths[name], round(room.original * (1 - gone))))
    if wish.final and not wish.remove and all(widths[name] == room.original for name, room in rooms.items()):
        raise ImpossibleRatio(
            "All groups keep all that they have",
            where="shrink.widths",
            remedy="lower one of them, or leave the variant out of the recipe",
        )
    return widths


def check_names(key: str, given: Iterable[str], there: Sequence[str], left: Mapping[str, str]) -> None:
    """Raises ImpossibleRatio where `key` names what isn't `there`, with the reason where one is known."""
    for name in given:
        if name not in there:
            reason = f": {left[name]}" if name in left else ""
            raise ImpossibleRatio(
                f"{name!r} can't be pruned{reason}",
                where=f"shrink.{key}",
                remedy=f"take one of {', '.join(there)}" if there else "this network has none: leave the key out",
            )


def by_budget(
    rooms: Mapping[str, Room],
    scores: Mapping[str, Tensor],
    wish: Wish,
    left: Mapping[str, str],
    whole: Size,
    size: Callable[[Mapping[str, int]], Size],
) -> dict[str, int]:
    """Units that each group keeps so that the budget's share of `whole` is gone. size(widths) is exact.

    Raises ImpossibleRatio where the last round misses it by more than TOLERANCE.
    """
    assert wish.budget is not None
    of, share = wish.budget
    if not rooms and wish.final:
        raise _no_such(", ".join(wish.structures), left, f"shrink.{of}", wish)
    total: int = getattr(whole, of)

    def gone(widths: Mapping[str, int]) -> float:
        left: int = getattr(size(widths), of)
        return 1 - left / total

    ladder = make_ladder(rooms, scores, wish.ranking)
    fit = fit_budget(ladder, gone, share)
    if wish.final and abs(fit.gone - share) > TOLERANCE:
        raise _missed(of, share, fit.gone, gone(ladder.widths(0)), gone(ladder.widths(len(ladder.steps))), wish)
    return fit.widths


def _check_share(kind: Kind, share: float, rooms: Mapping[str, Room], wish: Wish, left: Mapping[str, str]) -> None:
    if not rooms:
        raise _no_such(kind, left, f"shrink.{kind}", wish)
    word = UNITS[kind]
    if all(room.original * (1 - share) < min(room.minimum, room.original) for room in rooms.values()):
        key, least = ("min_heads", wish.min_heads) if kind == "heads" else ("min_width", wish.min_width)
        most = max(1 - room.minimum / room.original for room in rooms.values())
        raise ImpossibleRatio(
            f"{kind} = {share:g} leaves fewer than {key} = {least} {word} in every group",
            where=f"shrink.{kind}",
            remedy=f"ask for at most {math.floor(most * 100) / 100:.2f}, or lower shrink.{key}"
            if most >= 0.01
            else f"leave {kind} out, or lower shrink.{key}",
        )


def _takes_nothing(kind: Kind, share: float, rooms: Mapping[str, Room], wish: Wish) -> ImpossibleRatio:
    """The error for a share that is too small, with the smallest that takes something."""
    aligned = "" if kind == "heads" else f", rounded to multiples of {wish.alignment},"
    steps = [1 - room.widths[1] / room.original for room in rooms.values() if len(room.widths) > 1]
    least = f"min_{'heads' if kind == 'heads' else 'width'}"
    return ImpossibleRatio(
        f"{kind} = {share:g}{aligned} takes no {UNITS[kind].removesuffix('s')}",
        where=f"shrink.{kind}, widths {sorted({room.original for room in rooms.values()})}",
        remedy=f"ask for at least {math.ceil(min(steps) * 100) / 100:.2f}"
        + ("" if kind == "heads" else ", or lower the target's alignment")
        if steps
        else f"lower shrink.{least}" + ("" if kind == "heads" else " or the target's alignment"),
    )


def _no_such(kinds: str, left: Mapping[str, str], where: str, wish: Wish) -> ImpossibleRatio:
    reasons = "; ".join(f"{module}: {reason}" for module, reason in left.items())
    return ImpossibleRatio(
        f"{'Without its blocks this' if wish.blocks else 'This'} network has no {kinds} that can be cut",
        where=where + (f" ({reasons})" if reasons else ""),
        remedy=("ask for fewer blocks, or " if wish.blocks else "ask ")
        + "for another structure (filters, heads, neurons or blocks), or see the reasons",
    )


def _missed(of: str, share: float, reached: float, least: float, most: float, wish: Wish) -> ImpossibleRatio:
    """The error for a budget that no choice of units meets."""
    where = f"shrink.{of}"
    if share > most:
        what = f"{of} = {share:g}: at most {most:.0%} can go with {', '.join(wish.structures)}"
        remedy = f"ask for at most {math.floor(most * 100) / 100:.2f}, lower shrink.min_width, or add blocks"
    elif share < least:
        what = f"{of} = {share:g}: {least:.0%} have gone already, with blocks, rows or earlier rounds"
        remedy = f"ask for at least {math.ceil(least * 100) / 100:.2f}, or for fewer blocks"
    else:
        what = f"{of} = {share:g} can't be met within {TOLERANCE:.0%}: the nearest that can be reached is {reached:.2f}"
        remedy = f"ask for {reached:.2f}, or lower the target's alignment ({wish.alignment}) or shrink.min_width"
    return ImpossibleRatio(what.replace("%", " %"), where=where, remedy=remedy)
