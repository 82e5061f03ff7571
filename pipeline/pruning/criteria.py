"""How important a unit is: a filter, a head, a neuron or a layer. One function each, one signature; larger stays.

A new criterion is one function here, its line in CRITERIA and what it reads in NEEDS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import Tensor


class MissingEvidence(EdgewrightError):
    """A criterion that was not given, or can't be given, what it judges by."""


@dataclass
class Seen:
    """What is known of the units of one group, float32. Only `weights` is always there; see NEEDS.

    weights: [units, numbers], all that makes a unit, side by side; products: [units, numbers], weight x gradient of the
    mean loss, of all that makes a unit or reads it; movement: -(sum over fine-tuning steps of gradient x weight),
    shaped as the weights; start: the weights before training, alike; activations: [units], mean magnitude where the
    unit is read; zeros: [units], share of activations that are exactly 0; gates: [units], mean over samples of |d loss
    / d gate|, a gate being a factor on the unit; seed: for the random criterion.
    """

    weights: Tensor
    products: Tensor | None = None
    movement: Tensor | None = None
    start: Tensor | None = None
    activations: Tensor | None = None
    zeros: Tensor | None = None
    gates: Tensor | None = None
    seed: int = 0


# -> scores, float32 [units]; larger is more important. Raises MissingEvidence.
Criterion = Callable[[Seen], "Tensor"]

_GIVE = {
    "products": "training samples and a loss",
    "movement": "training samples, a loss and a learning rate",
    "start": "the weights from before the training, pruned alike",
    "activations": "training samples",
    "zeros": "training samples",
    "gates": "training samples and a loss",
}


def l1(seen: Seen) -> Tensor:
    """Sum of magnitudes (Li et al. 2017, arXiv 1608.08710)."""
    return seen.weights.abs().sum(dim=1)


def l2(seen: Seen) -> Tensor:
    """Euclidean norm (He et al. 2018, Soft Filter Pruning, arXiv 1808.06866)."""
    return seen.weights.norm(dim=1)


def fpgm(seen: Seen) -> Tensor:
    """Sum of distances to the group's other units: who is near the geometric median can be replaced by the others.

    He et al. 2019, Filter Pruning via Geometric Median, arXiv 1811.00250. Layers of unequal length are compared after
    the shorter ones are filled up with zeros, so a long one is far from all others; one unit alone scores 0.
    """
    import torch

    # Through a matrix product, near-equal units would lose their distance to rounding.
    return torch.cdist(seen.weights, seen.weights, compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1)


def activation(seen: Seen) -> Tensor:
    """Mean magnitude of what the unit passes on (as in Molchanov et al. 2017, arXiv 1611.06440, section 2.2)."""
    return _given(seen.activations, "activation", "activations")


def apoz(seen: Seen) -> Tensor:
    """1 - the average percentage of zeros (Hu et al. 2016, Network Trimming, arXiv 1607.03250).

    It tells units apart behind a ReLU or its kin; where an activation is never exactly 0, all score 1.
    """
    return 1 - _given(seen.zeros, "apoz", "zeros")


def taylor(seen: Seen) -> Tensor:
    """Sum of |weight x gradient| over all weights that go with the unit, those that make it and those that read it.

    The first-order change of the loss by single weights (Molchanov et al. 2019, arXiv 1906.10771), summed over the
    coupled ones as in DepGraph (arXiv 2301.12900). The unit's own change, |sum of weight x gradient|, was tried: over
    all data a trained network's gradient is about 0 and cancels within a unit, over mini-batches it is noise.
    """
    return _given(seen.products, "taylor", "products").abs().sum(dim=1)


def taylor_gate(seen: Seen) -> Tensor:
    """Mean over samples of |d loss / d gate|, the gate being a factor of 1 on all that the unit passes on.

    Molchanov et al. 2017, arXiv 1611.06440, for filters; Michel et al. 2019, arXiv 1905.10650, for heads.
    """
    return _given(seen.gates, "taylor-gate", "gates")


def movement(seen: Seen) -> Tensor:
    """-(sum of gradient x weight) over fine-tuning: positive where weights move away from 0, negative towards it.

    Sanh et al. 2020, Movement Pruning, arXiv 2005.07683, summed over the unit's weights.
    """
    return _given(seen.movement, "movement", "movement").sum(dim=1)


def displacement(seen: Seen) -> Tensor:
    """Sum of |weight now - weight before training|: what articles often call movement.

    So does Zhou et al. 2019, Deconstructing Lottery Tickets, arXiv 1905.01067, among its mask criteria.
    """
    return (seen.weights - _given(seen.start, "displacement", "start")).abs().sum(dim=1)


def random(seen: Seen) -> Tensor:
    """Uniform in [0, 1), the control: what any other criterion has to beat. The same seed gives the same scores."""
    import torch

    return torch.rand(len(seen.weights), generator=torch.Generator().manual_seed(seen.seed))


CRITERIA: dict[str, Criterion] = {
    "l1": l1,
    "l2": l2,
    "fpgm": fpgm,
    "activation": activation,
    "apoz": apoz,
    "taylor": taylor,
    "taylor-gate": taylor_gate,
    "movement": movement,
    "displacement": displacement,
    "random": random,
}

# The fields of Seen beyond the weights that each one reads.
NEEDS: dict[str, frozenset[str]] = {
    "l1": frozenset(),
    "l2": frozenset(),
    "fpgm": frozenset(),
    "activation": frozenset({"activations"}),
    "apoz": frozenset({"zeros"}),
    "taylor": frozenset({"products"}),
    "taylor-gate": frozenset({"gates"}),
    "movement": frozenset({"movement"}),
    "displacement": frozenset({"start"}),
    "random": frozenset(),
}


def _given(found: Tensor | None, criterion: str, field: str) -> Tensor:
    if found is None:
        raise missing(field, f"The criterion {criterion!r} has no {field} to judge by")
    return found


def missing(field: str, what: str, *, where: str = "") -> MissingEvidence:
    """The error for a field of Seen that can't be filled, with what it takes to fill it."""
    others = ", ".join(name for name, needs in NEEDS.items() if not needs)
    return MissingEvidence(
        what, where=where, remedy=f"give {_GIVE[field]}, or set shrink.criterion to one that needs none: {others}"
    )
