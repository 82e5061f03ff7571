"""The last candidates of a search: those whose download promises to be the smallest, one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.search import light
from pipeline.search.allocate import Proposal
from pipeline.search.candidates import Trained
from pipeline.search.pace import ROUNDS
from pipeline.search.rungs import LONG, Rungs
from pipeline.search.space import Choice

MOST = 8
"""How many are trained, at most."""


@dataclass
class Lighter:
    """rungs: what was tried before."""

    rungs: Rungs

    def run(self) -> None:
        """Trains one after another. What the time doesn't allow is left out."""
        for place in range(MOST):
            rungs = self.rungs
            candidates = rungs.taken(rungs.notes.once(f"light-{place}", self._chosen))
            if not candidates or rungs.train(candidates[0], rungs.until_s) is None:
                break

    def download(self, one: Trained) -> float:
        """What a candidate's package is promised to be, in bytes."""
        size = self.rungs.pricing.best(one.candidate.choice).bytes
        fixed = self._fixed(one.candidate.choice)
        return light.promised(size, one.candidate.form, fixed) if one.candidate.light else light.DENSE * size

    def lightest(self, count: int) -> list[Trained]:
        """Those of them that hold what is allowed, the smallest download first."""
        found = [one for one in self.rungs.results() if one.candidate.light and self.rungs.holds(one)]
        return sorted(found, key=self.download)[:count]

    def _chosen(self) -> dict[str, Any]:
        rungs = self.rungs
        full = rungs.forecast.full
        if rungs.pace.light_s(0.0, full) > rungs.until_s - rungs.notes.spent_s:
            return rungs.told([], full)
        pool = self._pool  # an allocation takes its time too
        left = rungs.until_s - rungs.notes.spent_s
        tried = [one for one in rungs.trained.values() if one.candidate.light]  # also what failed: not a second time
        cost = [
            light.Tried(one.candidate.form, self._share(choice), rungs.lost(one) - rungs.forecast.usual(choice))
            for one in tried
            if one.validation is not None
            for choice in [one.candidate.choice]
        ]
        found = light.smallest(
            [one for one in pool if rungs.pace.light_s(rungs.share(one.proposal.choice), full) <= left],
            light.rates(cost),
            rungs.allowed,
            min((self.download(one) for one in rungs.results() if rungs.holds(one)), default=None),
            [(one.candidate.choice, one.candidate.form) for one in tried],
        )
        return rungs.told([found[0]], full, found[1]) if found else rungs.told([], full)

    @cached_property
    def _pool(self) -> list[light.Offer]:
        """The same for all: what a light one loses says nothing of other networks."""
        rungs = self.rungs
        whole = Proposal(Choice(), rungs.forecast.usual(Choice()), rungs.pricing.best(Choice()))
        pool = [replace(one, lost=rungs.forecast.usual(one.choice)) for one in rungs.pool(ROUNDS + LONG)]
        return [
            light.Offer(one, self._share(one.choice), self._fixed(one.choice))
            for one in [whole, *pool]
            if rungs.fits(one.price)
        ]

    def _share(self, choice: Choice) -> float:
        """Of the trained network's weights, without embeddings: no form touches those."""
        space = self.rungs.space
        left, whole = (space.size(one).params - space.embedded(one) for one in (choice, Choice()))
        return left / max(1, whole)

    def _fixed(self, choice: Choice) -> float:
        space = self.rungs.space
        return space.embedded(choice) / max(1, space.size(choice).params)
