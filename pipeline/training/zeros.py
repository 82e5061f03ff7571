"""Weights whose zeros stay zero while the others are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import nn


class NoSuchWeight(EdgewrightError):
    """Zeros are to be held in a weight that the network lacks."""


class HeldZeros:
    """The zeros that the weights `names` of `network` have now.

    The gradient is masked too: momentum and the moments of AdamW would otherwise carry what a zero would like to be,
    count it in the norm that is clipped, and let it go the moment that the mask is lifted.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        parameters = dict(network.named_parameters(remove_duplicate=False))
        if missing := [name for name in names if name not in parameters]:
            raise NoSuchWeight(
                f"The network has no weight {missing[0]!r}",
                where="the zeros that its pruning plan holds",
                remedy="replay the plan on the architecture that it was made for",
            )
        self._zeros = [(parameters[name], parameters[name].detach() == 0) for name in names]

    def before_step(self) -> None:
        """Takes the gradient from every held zero."""
        for parameter, zeros in self._zeros:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(zeros, 0)

    def after_step(self) -> None:
        """Puts every held zero back, exactly."""
        for parameter, zeros in self._zeros:
            parameter.data.masked_fill_(zeros, 0)
