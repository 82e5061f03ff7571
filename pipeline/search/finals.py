"""The end of a search: a few networks in every way of running them, measured in one session, the test part looked at
once; the front among them, and the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from device_agents.bundle import read_bundle
from device_agents.farm.figures import show_ratio
from device_agents.farm.report import Report
from device_agents.farm.verdict import Judgement
from device_agents.farm.why import explained
from pipeline.build import Done
from pipeline.outcome import Measured, judged
from pipeline.plan import Plan, with_a_base
from pipeline.search.allocate import Proposal, pick
from pipeline.search.candidates import Candidate, by_way
from pipeline.search.entries import Entry, broken, choose, entry_of, front_of
from pipeline.search.lighter import Lighter
from pipeline.search.looking import Answers, laid_out, validation_of
from pipeline.search.pricing import errors
from pipeline.search.rungs import Rungs
from pipeline.search.subject import Base
from pipeline.shrinking import Shrink

NOTE = "finals"


@dataclass
class Finals:
    """rungs: what was tried; networks: how many of the fastest and of the lightest are measured."""

    rungs: Rungs
    base: Base
    budget_s: float
    networks: tuple[int, int]

    @property
    def spent_s(self) -> float:
        return self.rungs.notes.spent_s

    def candidates(self) -> list[Candidate]:
        """What is measured: the fastest that lose no more than is allowed, half of it, what is asked; the lightest."""
        rungs = self.rungs
        by_choice = {one.candidate.choice: one for one in rungs.results() if not one.candidate.light}
        pool = [Proposal(choice, rungs.lost(one), rungs.pricing.best(choice)) for choice, one in by_choice.items()]
        light = [one.candidate for one in Lighter(rungs).lightest(self.networks[1])]
        # Places that no lighter one takes are the fastest ones', since INT8 may lose more than training left to lose.
        places = sum(self.networks) - len(light)
        drops = [rungs.allowed, rungs.allowed / 2, rungs.asked.max_drop][:places]
        picked = pick(pool, [drop + 1e-9 for drop in drops], [], rungs.fits)
        return [*(by_choice[one.choice].candidate for one in picked), *light]

    def shrinks(self) -> tuple[Shrink, ...]:
        """The measured networks as [[shrink]] tables."""
        content = self.rungs.notes.read(NOTE) or {"networks": []}
        return tuple(self.rungs.workshop.shrink(Candidate.from_json(one)) for one in content["networks"])

    def run(self) -> dict[str, Any]:
        """What the JSON says of it; noted, so that the test part is looked at once.

        What an invalid report says is measured again where the search is typed again.
        """
        notes = self.rungs.notes
        found = notes.read(NOTE)
        return dict(found if found is not None and found["valid"] else notes.write(NOTE, self._measured()))

    def _measured(self) -> dict[str, Any]:
        rungs, candidates = self.rungs, self.candidates()
        plan, built = rungs.workshop.bundles(candidates, self.base.ways)
        folders = laid_out(rungs.looking.project, plan, built)
        plan.variants = with_a_base(plan.variants, set(folders))
        began = self.spent_s
        report, path, answers = rungs.looking.last(plan, built, folders)
        took = self.spent_s - began
        measured = {one.variant.name: one for one in _beside(plan, built, folders, report, answers)}
        given, judgements, _ = judged(plan, list(measured.values()))
        judgements = self._explained(judgements, folders, report, took)
        found, said = {one.name: one for one in given}, {one.name: one for one in judgements}
        entries: list[Entry] = []
        for candidate in [None, *candidates]:
            shrink = rungs.workshop.shrink(candidate).model_dump(mode="json", exclude_unset=True) if candidate else {}
            for way, variant in by_way(plan, candidate.name if candidate else "", self.base.ways).items():
                priced = candidate and next(
                    one for one in rungs.pricing.all(candidate.choice) if one.way.variant == way
                )
                folder = folders.get(variant.name)
                entries.append(
                    replace(
                        entry_of(measured[variant.name], found[variant.name], said[variant.name]),
                        shrink=shrink, validation=validation_of(plan, built, variant.name),
                        bundle=str(folder) if folder else None, digest=folder.name if folder else None,
                        epochs=candidate.epochs if candidate else None, predicted_ms=priced.ms if priced else None,
                    )
                )  # fmt: skip
        content = self._judged(entries, next(one.name for one in plan.variants if one.parent is None), report)
        return {
            **content, "networks": [one.to_json() for one in candidates], "report": str(path),
            "problems": report.problems, "valid": report.valid,
            "warnings": [*([] if report.valid else ["INVALID: " + "; ".join(report.problems)]), *report.warnings],
        }  # fmt: skip

    def _explained(
        self, judgements: list[Judgement], folders: Mapping[str, Path], report: Report, took_s: float
    ) -> list[Judgement]:
        """With what the device tells of why they do not pay, where there is time: about what the session took."""
        if self.spent_s + took_s > self.budget_s:
            return judgements
        return explained(judgements, self.rungs.looking.causes(folders, report, judgements))

    def _judged(self, entries: list[Entry], base_name: str, report: Report) -> dict[str, Any]:
        rungs = self.rungs
        base = next(one for one in entries if one.name == base_name)
        limits, floor = rungs.workshop.target.limits, rungs.workshop.recipe.metric.floor
        allowed = {
            key: value
            for key, value in {
                "ms": limits.latency_ms, "drop": limits.accuracy_drop,
                "bytes": None if limits.size_kb is None else limits.size_kb * 1e3,
                "memory": None if limits.memory_mb is None else limits.memory_mb * 1e6,
            }.items()
            if value is not None
        }  # fmt: skip
        broke = {one.name: broken(one, base, rungs.asked, floor, allowed) for one in entries}
        chosen, best = choose(entries, base, broke)
        why = _why(chosen, best, base, broke[best.name])
        if not report.valid:
            why = f"{why} (by a report that is invalid)"
        # What beats the chosen one may break what is asked.
        front = list(dict.fromkeys([*(one.name for one in front_of(entries)), *([chosen.name] if chosen else [])]))
        shown = sorted((one for one in entries if one.name in front), key=lambda one: one.p50_ms or 0.0)
        return {
            "met": chosen is not None,
            "why": why,
            "chosen": chosen.name if chosen else None,
            "best": best.name,
            "bundle": (chosen or best).bundle,
            "base": base.to_json(),
            "front": [one.to_json() for one in shown],
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


def _beside(
    plan: Plan, built: Mapping[str, Done], folders: Mapping[str, Path], report: Report, answers: Answers
) -> list[Measured]:
    """What was built beside what the device said of it, of every variant."""
    results = {result["name"]: result for result in report.results}
    found = []
    for variant in plan.variants:
        name, trouble = variant.name, built[variant.bundle].trouble
        if name not in folders:
            found.append(Measured(variant, None, None, None, trouble.what if trouble else "not built"))
            continue
        manifest, result = read_bundle(folders[name]).manifest.model_dump(), results.get(name)
        missing = None if result else "the device gave no result"
        found.append(
            Measured(variant, manifest, result, answers.metrics.get(name), missing, answers.parities.get(name))
        )
    return found


def _why(chosen: Entry | None, best: Entry, base: Entry, broke: Mapping[str, float]) -> str:
    """One sentence on the outcome."""
    if chosen is None and "measured" in broke:
        return f"not met: not even {best.name} could be measured"
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
