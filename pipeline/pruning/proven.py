"""The cut that a round makes, proven on the real network: its outputs are those with the same units masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError
from pipeline.pruning.plan import PruningPlan, actions_for, replay
from pipeline.pruning.trial import apart, masked, outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.groups import Group

REPORT = "please report this with the recipe: it is a defect of ours; shrink.skip leaves a module alone"

EXACT = 1e-4
"""Worst difference between the masked and the cut network's outputs, as a share of their spread."""


class WrongCut(EdgewrightError):
    """A network that after the cut is not what it should be. It is a defect of ours; nothing of it is kept."""


def cut_proven(network: nn.Module, choice: list[tuple[Group, list[int]]], example: tuple[Tensor, ...]) -> None:
    """Cuts in place and proves it: the outputs are those of the network with the same units only masked."""
    if not choice:
        return
    names = ", ".join(group.name for group, _ in choice)
    wanted = outputs(masked(network, choice), example)
    replay(PruningPlan(actions_for(choice)), network)
    try:
        got = outputs(network, example)
    except Exception as error:  # the user's forward may raise anything
        raise WrongCut(f"The forward pass fails after the cut: {error}", where=names, remedy=REPORT) from error
    if (worst := apart(wanted, got, _scale)) > EXACT:
        raise WrongCut(
            f"The cut network's outputs differ from the masked one's by {worst:.2g} of their spread",
            where=names,
            remedy=REPORT,
        )


def _scale(one: Tensor) -> float:
    """The outputs' spread; where they hardly differ from each other, a hundredth of their size."""
    return max(float(one.std(correction=0)), 1e-2 * float(one.abs().max()), 1e-6)
