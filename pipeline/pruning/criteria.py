"""How important a unit is: a channel, a head or a layer. One function each, one signature; larger is more important."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    # (values float32 [units, numbers], gradients of the same shape or None) -> scores float32 [units]
    Criterion = Callable[[Tensor, Tensor | None], Tensor]


def l1(values: Tensor, gradients: Tensor | None) -> Tensor:
    """Sum of magnitudes (Li et al. 2017, arXiv 1608.08710)."""
    return values.abs().sum(dim=1)


def taylor(values: Tensor, gradients: Tensor | None) -> Tensor:
    """|sum of value x gradient|: the first-order change of the loss when the unit goes.

    Molchanov et al. 2019, arXiv 1906.10771.
    """
    if gradients is None:
        raise ValueError("the Taylor criterion needs gradients: collect them first")
    return (values * gradients).sum(dim=1).abs()


CRITERIA: dict[str, Criterion] = {"l1": l1, "taylor": taylor}
NEEDS_GRADIENTS = frozenset({"taylor"})
