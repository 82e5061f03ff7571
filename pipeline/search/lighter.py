"""The last candidates of a search: those whose download promises to be the smallest, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.search import light
from pipeline.search.candidates import Trained
from pipeline.search.pace import ROUNDS
from pipeline.search.rungs import LONG, Rungs

MOST = 3
"""How many are trained."""


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
        return light.promised(size, one.candidate.form) if one.candidate.light else light.DENSE * size

    def lightest(self, count: int) -> list[Trained]:
        """Those of them that hold what is asked, the smallest download first."""
        found = [one for one in self.rungs.results() if one.candidate.light and self.rungs.holds(one)]
        return sorted(found, key=self.download)[:count]

    def _chosen(self) -> dict[str, Any]:
        rungs = self.rungs
        full = rungs.forecast.full
        if rungs.pace.training_s(0.0, full) > rungs.until_s - rungs.notes.spent_s:
            return rungs.told([], full)
        tried = [one for one in rungs.trained.values() if one.candidate.light]  # also what failed: not a second time
        lost = [
            (one.candidate.form, rungs.lost(one) - rungs.forecast.lost(one.candidate.choice))
            for one in tried
            if one.validation is not None
        ]
        found = light.smallest(
            [one for one in rungs.pool(ROUNDS + LONG) if rungs.fits(one.price)],
            light.costs(lost),
            rungs.allowed,
            min((self.download(one) for one in rungs.results() if rungs.holds(one)), default=None),
            [(one.candidate.choice, one.candidate.form) for one in tried],
        )
        left = rungs.until_s - rungs.notes.spent_s  # an allocation took its time too
        if found is None or rungs.pace.training_s(rungs.share(found[0].choice), full) > left:
            return rungs.told([], full)
        return rungs.told([found[0]], full, found[1])
