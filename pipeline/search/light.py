"""What makes a network's download smaller, and neither its file nor its time: weights of few values, and zeros among
them (Han et al. 2016, arXiv 1510.00149; device_agents/packing.py packs what they leave)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.search.allocate import Proposal
from pipeline.search.space import Choice

DENSE = 0.85
"""Of an INT8 file, what packing leaves where the weights are as training left them."""
SMALLER = 0.97
"""What is not even so much smaller than the best one, by prediction, is not worth a training."""
HOPED = 1.3
"""What is predicted to lose so many times what may be lost is worth the time that is left."""
_SCALE = (0.0, 4.0)
"""How far what was lost moves what forms are thought to cost."""


@dataclass(frozen=True)
class Light:
    """weight_bits, sparsity: as [[shrink]] has them."""

    weight_bits: int | None
    sparsity: float


AS_IT_IS = Light(None, 0.0)


@dataclass(frozen=True)
class Worth:
    """left: of an INT8 file, the share that its package holds; cost: of the metric where a share of CUT of the weights
    is left, before one was trained."""

    left: float
    cost: float


CUT, ROOM = 0.2, 0.75
"""The more weights are left, the more of them are not needed: a form costs less by this power of the share. Of
ResNet-20, 75 % zeros cost 0.5 points with 27 % of the weights left and 0.25 with 37 %; 90 % zeros with all left, of as
many values as there were, 0.2."""

# Of INT8 files of ResNet-20. What forms cost elsewhere is learnt from those that are trained.
FORMS: Mapping[Light, Worth] = {
    Light(5, 0.0): Worth(0.55, 0.003),
    Light(4, 0.0): Worth(0.45, 0.0065),
    Light(5, 0.5): Worth(0.42, 0.0045),
    Light(5, 0.75): Worth(0.27, 0.006),
    Light(5, 0.85): Worth(0.2, 0.008),
    Light(5, 0.9): Worth(0.15, 0.0105),
}


@dataclass(frozen=True)
class Tried:
    """A light candidate that was trained. share: of the trained network's weights that it has; cost: what it lost
    beside what its network loses without."""

    light: Light
    share: float
    cost: float


@dataclass(frozen=True)
class Offer:
    """A network that could be made light. share: as in Tried; fixed: of its weights, those of embeddings, which keep
    their values."""

    proposal: Proposal
    share: float
    fixed: float = 0.0


def usual_cost(light: Light, share: float) -> float:
    """What a form costs of the metric, before one was trained."""
    return FORMS[light].cost * (CUT / min(1.0, max(share, 0.02))) ** ROOM


def rates(tried: Iterable[Tried]) -> dict[Light, float]:
    """By form, how many times its usual cost it is thought to cost, after some were `tried`. A training tells it
    roughly (it holds the error of two), so the usual cost counts as much as one, and all is within limits."""
    found: dict[Light, list[float]] = {}
    for one in tried:
        if one.light in FORMS:
            found.setdefault(one.light, []).append(one.cost / usual_cost(one.light, one.share))
    usual = _mean([rate for some in found.values() for rate in some], 1.0)
    return {light: _mean(found.get(light, []), usual) for light in FORMS}


def _mean(rates: Sequence[float], before: float) -> float:
    return (before + sum(min(max(rate, _SCALE[0]), _SCALE[1]) for rate in rates)) / (1 + len(rates))


def bearable(max_drop: float) -> bool:
    """Whether any form at all may be within what may be lost: the whole network bears it best."""
    return min(usual_cost(light, 1.0) for light in FORMS) <= HOPED * max_drop


def promised(bytes: float, light: Light, fixed: float) -> float:
    """The package of a file of so many bytes in that form. fixed: as in Offer."""
    return bytes * (FORMS[light].left * (1 - fixed) + DENSE * fixed)


def smallest(
    pool: Sequence[Offer],
    rates: Mapping[Light, float],
    max_drop: float,
    under: float | None,
    done: Iterable[tuple[Choice, Light]],
) -> tuple[Proposal, Light] | None:
    """The network and form that promise the smallest package within `max_drop`; where none is within, but within HOPED
    times of it, the one that is thought to lose least. None where nothing is left to try that promises a package of
    less than `under` bytes. done: what was trained already.
    """
    gone = set(done)
    options = [
        (lost, size, place, one.proposal, light)
        for place, one in enumerate(pool)
        for light, rate in rates.items()
        for size in [promised(one.proposal.price.bytes, light, one.fixed)]
        for lost in [one.proposal.lost + rate * usual_cost(light, one.share)]
        if lost <= HOPED * max_drop
        and (one.proposal.choice != Choice() or light.sparsity)  # few values alone are no [[shrink]] table
        and (one.proposal.choice, light) not in gone
        and (under is None or size < SMALLER * under)
    ]
    within = [option for option in options if option[0] <= max_drop]
    if within:
        *_, best, light = min(within, key=lambda option: option[1:3])
    elif options:
        *_, best, light = min(options, key=lambda option: option[:3])
    else:
        return None
    return best, light
