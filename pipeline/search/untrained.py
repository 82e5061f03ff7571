"""The first candidates of a search where fine-tuning is short, as of a network that was pretrained elsewhere: cuts that
cost little without any. Whole layers may be of no use to its task, and one epoch heals little of a bold cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipeline.search.allocate import Proposal, allocate, one_by_one, pick
from pipeline.search.pace import ROUNDS, trials
from pipeline.search.rungs import LONG, Rungs
from pipeline.search.space import Choice

AIMS = (1.0, 0.5, 1.0, 0.5)
"""Of what may be lost beside the rows' own loss, what each is to lose by prediction; INT8 loses some more."""
SHARE = 0.1
"""Of the budget, what these may take."""


@dataclass
class Untrained:
    """rungs: what takes them up."""

    rungs: Rungs

    def run(self) -> None:
        """Rows of embeddings that the data never uses go alone; then cuts one after another, each showing how much of
        what was lost one by one is lost together."""
        rungs = self.rungs
        if rungs.space.rows:
            whole = Proposal(Choice(), 0.0, rungs.pricing.best(Choice()))
            self._judge("rows-alone", lambda: rungs.told([whole], 0))
        if not rungs.forecast.brief:
            return
        began = rungs.notes.once("untrained-began", lambda: {"seconds": rungs.notes.spent_s})["seconds"]
        until_s = min(began + SHARE * rungs.budget_s, rungs.until_s)
        for place, aim in enumerate(AIMS):
            self._judge(f"untrained-{place}", partial(self._chosen, place, aim, until_s))

    def _judge(self, name: str, choose: Callable[[], dict[str, Any]]) -> None:
        for candidate in self.rungs.taken(self.rungs.notes.once(name, choose)):
            self.rungs.train(candidate, until=None)

    def _chosen(self, place: int, share: float, until_s: float) -> dict[str, Any]:
        """Of what is predicted to lose no more than this one may, the fastest; nothing where there is none."""
        rungs, forecast = self.rungs, self.rungs.forecast
        if rungs.notes.spent_s > until_s or forecast.rows >= rungs.allowed:
            return rungs.told([], 0)
        aim = forecast.rows + share * (rungs.allowed - forecast.rows)
        front = [replace(one, lost=forecast.untrained(one.choice)) for one in self._front(place)]
        tried = [one.candidate.choice for one in rungs.trained.values()]
        return rungs.told([one for one in pick(front, [aim], tried, rungs.fits) if one.lost <= aim], 0)

    def _front(self, place: int) -> list[Proposal]:
        """Anew for each: a layer that cost nothing on few samples would hide all that is milder than going without."""
        rungs, forecast = self.rungs, self.rungs.forecast
        seed, count = rungs.seed * 1000 + ROUNDS + LONG + 1 + place, trials(rungs.budget_s)
        mild = one_by_one(rungs.space, rungs.pricing.best, forecast.summed)
        return allocate(
            rungs.space,
            rungs.pricing.best,
            forecast.summed,
            forecast.sensitivity.lost,
            seed,
            count,
            rungs.notes.tick,
            mild,
        )
