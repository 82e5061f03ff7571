"""The end of a search: a few networks in every way of running them, measured in one session, the test part looked at
once; the front among them, and the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.bundle import read_bundle
from device_agents.farm.figures import show_ratio
from device_agents.farm.paired import latency, speedup
from pipeline.plan import with_a_base
from pipeline.search.allocate import Proposal, pick
from pipeline.search.candidates import Candidate, Trained, by_way
from pipeline.search.entries import Entry, broken, choose, front_of
from pipeline.search.looking import laid_out, validation_of
from pipeline.search.pace import finalists
from pipeline.search.pricing import errors
from pipeline.search.rungs import Rungs
from pipeline.search.subject import Base
from pipeline.shrinking import Shrink

NOTE = "finals"


@dataclass
class Finals:
    """rungs: what was tried."""

    rungs: Rungs
    base: Base
    budget_s: float

    @property
    def spent_s(self) -> float:
        return self.rungs.notes.spent_s

    def candidates(self) -> list[Candidate]:
        """The networks that are measured: the fastest that lose no more than is allowed, half of it, and the sparse."""
        rungs = self.rungs
        by_choice = {one.candidate.choice: one for one in rungs.results() if not one.candidate.sparsity}
        pool = [Proposal(choice, self._lost(one), rungs.pricing.best(choice)) for choice, one in by_choice.items()]
        unit, most = rungs.asked.max_drop, finalists(self.budget_s)
        picked = pick(pool, [unit * share for share in (1.0, 0.6, 0.3)[:most]], [], rungs.fits)
        found = [by_choice[one.choice].candidate for one in picked]
        sparse = [one.candidate for one in rungs.results() if one.candidate.sparsity and self._lost(one) <= unit + 1e-9]
        return found + sparse

    def _lost(self, one: Trained) -> float:
        return self.rungs.base - (one.validation if one.validation is not None else 0.0)

    def shrinks(self) -> tuple[Shrink, ...]:
        """The measured networks as [[shrink]] tables."""
        content = self.rungs.notes.read(NOTE) or {"networks": []}
        return tuple(self.rungs.workshop.shrink(Candidate.from_json(one)) for one in content["networks"])

    def run(self) -> dict[str, Any]:
        """What the JSON says of it; noted, so that the test part is looked at once."""
        return dict(self.rungs.notes.once(NOTE, self._measured))

    def _measured(self) -> dict[str, Any]:
        rungs, candidates = self.rungs, self.candidates()
        plan, built = rungs.workshop.bundles(candidates, self.base.ways)
        folders = laid_out(rungs.looking.project, plan, built)
        plan.variants = with_a_base(plan.variants, set(folders))
        report, path, answers = rungs.looking.last(plan, built, folders)
        results = {result["name"]: result for result in report.results}
        base_name = next(one.name for one in plan.variants if one.parent is None)
        shrinks = {one.name: rungs.workshop.shrink(one) for one in candidates}
        entries: list[Entry] = []
        for candidate in [None, *candidates]:
            for way, variant in by_way(plan, candidate.name if candidate else "", self.base.ways).items():
                shrink = shrinks[candidate.name].model_dump(mode="json", exclude_unset=True) if candidate else {}
                trouble = built[variant.bundle].trouble
                if variant.name not in folders:
                    entries.append(Entry(variant.name, variant.runtime.name, variant.precision, shrink,
                                         trouble=trouble.what if trouble else "not built"))  # fmt: skip
                    continue
                bundle, result = read_bundle(folders[variant.name]), results.get(variant.name, {})
                time = latency(result) if result else None
                ratio = speedup(results[base_name], result) if result and base_name in results else None
                metric = answers.metrics.get(variant.name)
                stray = "the device gives other answers" if variant.name in answers.strays else None
                priced = candidate and next(
                    one for one in rungs.pricing.all(candidate.choice) if one.way.variant == way
                )
                entries.append(
                    Entry(
                        variant.name, variant.runtime.name, variant.precision, shrink,
                        validation=validation_of(plan, built, variant.name),
                        metric={"name": metric.name, "value": metric.value} if metric else None,
                        p50_ms=time.p50_ms if time else None,
                        speedup=ratio.to_json() if ratio and variant.name != base_name else None,
                        bytes=bundle.manifest.bytes, download=bundle.manifest.download, params=bundle.manifest.params,
                        macs=bundle.manifest.macs, energy_mj=result.get("energy_mj"),
                        bundle=str(folders[variant.name]), digest=bundle.digest,
                        trouble=result.get("error") or stray, epochs=candidate.epochs if candidate else None,
                        predicted_ms=priced.ms if priced else None,
                    )
                )  # fmt: skip
        content = self._judged(entries, base_name)
        return {
            **content, "networks": [one.to_json() for one in candidates], "report": str(path),
            "problems": report.problems, "valid": report.valid,
            "warnings": [*([] if report.valid else ["INVALID: " + "; ".join(report.problems)]), *report.warnings],
        }  # fmt: skip

    def _judged(self, entries: list[Entry], base_name: str) -> dict[str, Any]:
        rungs = self.rungs
        base = next(one for one in entries if one.name == base_name)
        limits, floor = rungs.workshop.target.limits, rungs.workshop.recipe.metric.floor
        allowed = {
            key: value
            for key, value in {
                "ms": limits.latency_ms, "drop": limits.accuracy_drop,
                "bytes": None if limits.size_kb is None else limits.size_kb * 1000,
            }.items()
            if value is not None
        }  # fmt: skip
        broke = {one.name: broken(one, base, rungs.asked, floor, allowed) for one in entries}
        chosen, best = choose(entries, base, broke)
        return {
            "met": chosen is not None,
            "why": _why(chosen, best, base, broke[best.name]),
            "chosen": chosen.name if chosen else None,
            "best": best.name,
            "bundle": (chosen or best).bundle,
            "base": base.to_json(),
            "front": [one.to_json() for one in sorted(front_of(entries), key=lambda one: one.p50_ms or 0.0)],
            "candidates": [one.to_json() for one in [*entries, *self._others(entries)]],
            "costs_error": errors(rungs.rates),
        }

    def _others(self, entries: list[Entry]) -> list[Entry]:
        """What was trained and is not among the measured: one entry each, with what its short look told."""
        measured = {one.shrink.get("name") for one in entries}
        found = []
        for one in self.rungs.trained.values():
            if one.candidate.name in measured:
                continue
            price, size = self.rungs.pricing.best(one.candidate.choice), self.rungs.space.size(one.candidate.choice)
            looked = self.rungs.looked.get(one.candidate.name, {})
            found.append(
                Entry(
                    one.candidate.name, price.way.runtime, price.way.precision,
                    self.rungs.workshop.shrink(one.candidate).model_dump(mode="json", exclude_unset=True),
                    validation=one.validation, p50_ms=looked.get(price.way.variant), params=size.params, macs=size.macs,
                    trouble=one.trouble, epochs=one.candidate.epochs,
                    predicted_ms=self.rungs.predicted.get(one.candidate.name, {}).get("ms"),
                )
            )  # fmt: skip
        return found


def _why(chosen: Entry | None, best: Entry, base: Entry, broke: Mapping[str, float]) -> str:
    """One sentence on the outcome."""
    if chosen is None:
        missed = ", ".join(f"{key} by {share:.0%}".replace("%", " %") for key, share in broke.items())
        return f"not met: nothing holds the constraints; nearest is {best.name}" + (
            f", which breaks {missed}" if missed else ""
        )
    if chosen.name == base.name:
        return (
            "met by the trained network itself: nothing that was tried is faster or smaller and holds the constraints"
        )
    smaller = (base.bytes or 0) / max(1, chosen.bytes or 1)
    return f"met: {chosen.name} is {show_ratio(chosen.ratio)} against {base.name}, {smaller:.1f}x smaller"
