"""Candidates' trainings on a made trainer and clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from edgewright.progress import Silent
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.search.candidates import Candidate, Trained, Workshop
from pipeline.search.constraints import Constraints
from pipeline.search.forecast import Forecast
from pipeline.search.looking import Looking
from pipeline.search.notes import Notes, Watched
from pipeline.search.pace import Pace
from pipeline.search.pricing import Pricing
from pipeline.search.rungs import Rungs
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space

BASE, FULL = 0.93, 9


@dataclass
class Trainer:
    """Stands in for the workshop: lost is a share of what goes (`most` of it all), less with more epochs, `dear` more
    in a light form, `bare` where nothing is trained, `harm` where something is; time is a clock's. slower: times what
    an epoch takes, one in a light form; answers_s: of the teacher, whom the first training asks."""

    space: Space
    watched: Watched
    clock: list[float]
    epoch_s: float = 10.0
    most: float = 0.03
    dear: float = 0.0
    bare: float = 0.0
    harm: float = 0.0
    slower: float = 1.0
    answers_s: float = 0.0
    stop_at: int = 10_000
    spoilt: Sequence[int | str] = ()
    names: list[str] = field(default_factory=list)

    def train(self, candidate: Candidate) -> Trained:
        if len(self.names) >= self.stop_at:
            raise KeyboardInterrupt
        if candidate.number in self.spoilt or (candidate.light and "light" in self.spoilt):
            raise ImpossibleRatio("it can't be cut", where="shrink", remedy="none")
        share = self.space.size(candidate.choice).macs / self.space.size(Choice()).macs
        each = self.epoch_s * (0.15 + 0.85 * share) * (self.slower if candidate.light else 1.0)
        for _ in range(candidate.epochs):
            self.clock[0] += each
            self.watched.advance()
        asks = self.answers_s if not self.names else 0.0
        self.clock[0] += asks
        self.names.append(candidate.name)
        lost = self.most * (1 - share) / max(1, candidate.epochs) ** 0.5 + (self.dear if candidate.light else 0.0)
        lost += self.harm if candidate.epochs else self.bare
        # Where nothing is trained, it is loaded and judged all the same.
        return Trained(candidate, BASE - lost, (candidate.epochs or 0.1) * each)


Started = Callable[..., tuple[Rungs, Trainer]]


def started(
    folder: Path,
    space: Space,
    pricing: Pricing,
    felt: Sensitivity,
    seconds: float,
    clock: list[float] | None = None,
    allowed: float = 0.01,
    **told: Any,
) -> tuple[Rungs, Trainer]:
    """Rungs over a folder and their trainer, who is `told` more."""
    ticking = clock or [0.0]
    notes = Notes(folder, lambda: ticking[0])
    watched = Watched(Silent(), notes)
    trainer = Trainer(space, watched, ticking, **told)
    rungs = Rungs(
        space=space, workshop=cast(Workshop, trainer), looking=cast(Looking, None), pricing=pricing,
        forecast=Forecast(space, felt, BASE, FULL), asked=Constraints(0.01), notes=notes, watched=watched,
        # A session longer than a tenth of the budget: the looks are left out.
        pace=Pace(10.0, 1.0, 1.0, look_s=seconds), base=BASE, allowed=allowed, base_variant="trained", until_s=seconds,
        budget_s=seconds, seed=0, note=lambda line: None,
    )  # fmt: skip
    return rungs, trainer
