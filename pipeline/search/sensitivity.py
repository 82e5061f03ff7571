"""How much of the metric each group and each layer is worth: what is lost when only it is cut, nothing fine-tuned."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.search.notes import Notes
from pipeline.search.space import Choice, Space

if TYPE_CHECKING:
    from torch import Tensor, nn

SHARES = (0.75, 0.5, 0.25)
"""Of its units, what a group keeps when it is tried."""
NOTE = "sensitivity"
LEAST, MOST = 128, 1000
"""Validation samples that one try is judged on: fewer where the budget is short."""


@dataclass(frozen=True)
class Sensitivity:
    """groups: by name, (units that stay, metric lost) with rising loss; layers: metric lost without each."""

    groups: Mapping[str, Sequence[tuple[int, float]]]
    layers: Mapping[str, float]

    def lost(self, choice: Choice) -> float:
        """The sum of what each cut alone would lose: linear between the widths that were tried."""
        lost = sum(self.layers.get(name, 0.0) for name in choice.remove)
        return lost + sum(self._of(name, width) for name, width in choice.widths)

    def _of(self, group: str, width: int) -> float:
        points = self.groups.get(group, ())
        for (wide, before), (narrow, after) in pairwise(points):
            if narrow <= width <= wide:
                return before + (after - before) * (wide - width) / max(1, wide - narrow)
        if len(points) < 2:
            return 0.0
        # Below what was tried it goes on as steeply.
        (wide, before), (narrow, after) = points[-2:]
        return after + max(0.0, after - before) * (narrow - width) / max(1, wide - narrow)


@dataclass
class Trial:
    """What trying a cut takes. network: trained, prepared for cutting; orders: by group its units, the most important
    first; judge(network, samples): the metric on so many validation samples; settle: gives batch norms new statistics.
    """

    network: nn.Module
    space: Space
    orders: Mapping[str, Sequence[int]]
    judge: Callable[[nn.Module, int], float]
    settle: Callable[[nn.Module], object]

    def without(self, choice: Choice) -> nn.Module:
        """A copy without what the choice takes, settled."""
        from pipeline.pruning.plan import Action, PruningPlan, Remove, actions_for, replay

        made = copy.deepcopy(self.network)
        by_name = {group.name: group for group in self.space.groups}
        cuts = [(by_name[name], sorted(self.orders[name][:width])) for name, width in choice.widths]
        actions: list[Action] = [*actions_for(cuts), *(Remove(name) for name in choice.remove)]
        replay(PruningPlan(actions), made)
        self.settle(made)
        return made.eval()


def sensitivity(trial: Trial, notes: Notes, seconds: float, tick: Callable[[], None]) -> Sensitivity:
    """Tries every group at SHARES of its width, and every layer, within about `seconds`; each try is noted.

    tick: called after each. The same notes give the same sensitivity without trying anything.
    """
    tries = _tries(trial.space)
    content: dict[str, Any] = notes.read(NOTE) or {}
    if "samples" not in content:
        content = {"samples": _samples(trial, seconds / (len(tries) + 1)), "lost": {}}
    samples, lost = int(content["samples"]), content["lost"]
    if "base" not in content:
        content["base"] = trial.judge(trial.network, samples)
        notes.write(NOTE, content)
    for key, choice in tries.items():
        if key not in lost:
            left = trial.judge(trial.without(choice), samples)
            # A correlation, say, is no number where all answers are the same: then all is lost.
            lost[key] = content["base"] - left if math.isfinite(left) else abs(content["base"])
            notes.write(NOTE, content)
        tick()
    return _read(trial.space, lost)


def _tries(space: Space) -> dict[str, Choice]:
    found = {f"layer {name}": Choice((name,)) for name in space.layers}
    for group in space.groups:
        for share in SHARES:
            width = max(1, round(group.units * share))
            if width < group.units:
                found[f"group {group.name} {width}"] = Choice((), ((group.name, width),))
    return found


def _samples(trial: Trial, seconds: float) -> int:
    """How many validation samples one try may be judged on."""
    trial.judge(trial.network, LEAST)  # the first call pays for what later ones find ready
    began = time.monotonic()
    trial.judge(trial.network, LEAST)
    each = max(1e-6, (time.monotonic() - began) / LEAST)
    began = time.monotonic()
    trial.without(Choice())
    return max(LEAST, min(MOST, int((0.7 * seconds - (time.monotonic() - began)) / each)))


def _read(space: Space, lost: Mapping[str, float]) -> Sensitivity:
    groups = {}
    for group in space.groups:
        points, worst = [(group.units, 0.0)], 0.0
        for share in SHARES:
            width = max(1, round(group.units * share))
            # Fewer units are never worth more: what looks so is the noise of a few samples.
            worst = max(worst, lost.get(f"group {group.name} {width}", 0.0))
            if width < points[-1][0]:
                points.append((width, worst))
        groups[group.name] = points
    return Sensitivity(groups, {name: max(0.0, lost.get(f"layer {name}", 0.0)) for name in space.layers})


def orders_of(
    network: nn.Module, space: Space, criterion: str, batches: Sequence[Tensor], loss: Callable[..., Tensor], x: Tensor,
    y: Tensor, seed: int,
) -> dict[str, list[int]]:  # fmt: skip
    """By group its units, the most important first by a criterion that needs no untrained network.

    x, y: the training part; batches: rows of it, int64 [B]; loss(outputs, targets): a scalar. Raises MissingEvidence.
    """
    from pipeline.pruning.criteria import CRITERIA, NEEDS
    from pipeline.pruning.evidence import Evidence, see
    from pipeline.pruning.selection import most_to_least

    evidence = Evidence(
        loss_of=lambda net, rows: loss(net(x[rows]), y[rows]),
        inputs_of=lambda rows: (x[rows],),
        batches=list(batches),
        seed=seed,
    )
    seen = see(network, space.groups, NEEDS[criterion], evidence)
    return {group.name: most_to_least(CRITERIA[criterion](seen[group.name])) for group in space.groups}
