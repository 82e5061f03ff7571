"""What makes a network's download smaller, and neither its file nor its time: weights of few values, and zeros among
them (Han et al. 2016, arXiv 1510.00149; device_agents/packing.py packs what they leave)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.search.allocate import Proposal
from pipeline.search.space import Choice

DENSE = 0.85
"""Of an INT8 file, what packing leaves where the weights are as training left them."""
SMALLER = 0.97
"""What is not even so much smaller than the best one, by prediction, is not worth a training."""
_SCALE = (0.3, 4.0)
"""How far what was lost moves what forms are thought to cost."""


@dataclass(frozen=True)
class Light:
    """weight_bits, sparsity: as [[shrink]] has them."""

    weight_bits: int | None
    sparsity: float


AS_IT_IS = Light(None, 0.0)


@dataclass(frozen=True)
class Worth:
    """left: of an INT8 file, the share that its package holds; cost: of the metric, before one was trained."""

    left: float
    cost: float


# Of INT8 files of ResNet-20 cut to 59 thousand parameters (zeros of 75 %: to 101 thousand, which have more to spare);
# 85 % by what the others say. What they cost elsewhere is learnt from those that are trained.
FORMS: Mapping[Light, Worth] = {
    Light(5, 0.0): Worth(0.55, 0.0025),
    Light(4, 0.0): Worth(0.45, 0.0065),
    Light(5, 0.5): Worth(0.42, 0.004),
    Light(5, 0.75): Worth(0.27, 0.005),
    Light(5, 0.85): Worth(0.2, 0.008),
}


def costs(tried: Iterable[tuple[Light, float]]) -> dict[Light, float]:
    """What each form is thought to cost of the metric, after some were `tried`, each with what its network lost beside
    what it was predicted to lose without: the others more or less in proportion. That is known so roughly (it holds the
    error of the prediction) that it moves costs within limits; NaN moves nothing."""
    found: dict[Light, list[float]] = {}
    for light, cost in tried:
        if light in FORMS and not math.isnan(cost):
            found.setdefault(light, []).append(cost / FORMS[light].cost)
    rates = {light: min(max(median(one), _SCALE[0]), _SCALE[1]) for light, one in found.items()}
    usual = median(rates.values()) if rates else 1.0
    return {light: rates.get(light, usual) * worth.cost for light, worth in FORMS.items()}


def promised(bytes: float, light: Light) -> float:
    """The package of a file of so many bytes in that form."""
    return bytes * FORMS[light].left


def smallest(
    pool: Sequence[Proposal],
    costs: Mapping[Light, float],
    max_drop: float,
    under: float | None,
    done: Iterable[tuple[Choice, Light]],
) -> tuple[Proposal, Light] | None:
    """The network and form that promise the smallest package within `max_drop`; None where nothing is left to try that
    promises one of less than `under` bytes. done: what was trained already."""
    gone = set(done)
    options = [
        (size, place, one, light)
        for place, one in enumerate(pool)
        for light, cost in costs.items()
        for size in [promised(one.price.bytes, light)]
        if one.lost + cost <= max_drop
        and (one.choice != Choice() or light.sparsity)  # few values alone are no [[shrink]] table
        and (one.choice, light) not in gone
        and (under is None or size < SMALLER * under)
    ]
    if not options:
        return None
    _, _, best, light = min(options, key=lambda option: option[:2])
    return best, light
