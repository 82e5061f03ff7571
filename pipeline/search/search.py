"""The search from recipe and constraints to what was found; every stage is noted, so that a killed one goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.errors import DeviceError
from device_agents.farm import searchpage
from device_agents.farm.inventory import STAND_IN, DeviceEntry
from edgewright.errors import EdgewrightError
from edgewright.files import alone, canonical_json, pretty_json, sha256_bytes, write_atomically
from edgewright.progress import Progress, Silent
from pipeline.ahead import WORTH_S, build_ahead, workers
from pipeline.build import Builder, Done, builder
from pipeline.fingerprint import code_of
from pipeline.keeping import on_stderr, take_up
from pipeline.project import Project
from pipeline.reach import device_of
from pipeline.recipe import Recipe
from pipeline.search.candidates import Workshop
from pipeline.search.constraints import Constraints, cautious
from pipeline.search.finals import Finals
from pipeline.search.forecast import Forecast
from pipeline.search.found import Found
from pipeline.search.lighter import Lighter
from pipeline.search.looking import Looking
from pipeline.search.notes import Notes, Watched
from pipeline.search.pace import FEW, Pace, finalists, full_epochs, lightest, networks_at_the_end
from pipeline.search.prices import prices_for, rule_of_thumb
from pipeline.search.pricing import Prices, Pricing
from pipeline.search.rungs import Rungs
from pipeline.search.sensitivity import sensitivity
from pipeline.search.space import Space
from pipeline.search.subject import Base, Subject, build_base, measure_base
from pipeline.search.untrained import Untrained
from pipeline.steps.base import Places
from targets.schema import Target

if TYPE_CHECKING:
    from pipeline.plan import Plan

SENSING, RELIED_ON = 0.08, 0.15
"""Share of the budget for trying every group and layer by itself; the second where fine-tuning is too short to make
good what was misjudged."""
PRICING = 0.12
"""Share of the budget for measuring layers by themselves."""
BUILDING = 0.5
"""Share of the budget for the trained network that is worth a word."""
JUDGED, JUDGING = 5_000, 0.1
"""Validation samples that every file is judged on where this adds no more than that share of the budget: with fewer,
chance decides between candidates."""


class NoRealDevice(EdgewrightError):
    """A device whose times mean nothing: no search can go by them."""


class SearchCutOff(EdgewrightError):
    """The device went away in mid-search; all that was found until then is kept."""


def run(
    project: Project,
    recipe: Recipe,
    target: Target,
    device: str | None = None,
    constraints: Constraints | None = None,
    budget_s: float = 1800.0,
    seed: int = 0,
    progress: Progress | None = None,
    say: Callable[[Done], None] = lambda done: None,
    note: Callable[[str], None] = on_stderr,
    prices: Mapping[str, Prices] | None = None,
) -> Found:
    """Searches for the fastest (then smallest) model that holds the constraints, on a device of the target's kind.

    device: a name in farm.toml, None for the target's first; budget_s: seconds, also for what is built; prices: by
    runtime, measured if not given. The same search typed again goes on, or gives what it found.
    Raises Contradiction, NothingToRemove, NoRealDevice, BaseNotMeasured, SearchCutOff, and what building and measuring
    raise.
    """
    entry = device_of(project, target, device)
    refuse(entry)
    search = Search(project, recipe, target, entry, constraints or Constraints(), budget_s, seed, progress or Silent(),
                    say, note, prices)  # fmt: skip
    folder = search.folder
    with alone(folder / "lock"):
        try:
            return search.run()
        except DeviceError as error:
            raise SearchCutOff(
                f"{error.what} (what was found until then is kept)",
                where=error.where or entry.name,
                remedy="type the same again once it is back: it goes on from there"
                + (f" ({error.remedy})" if error.remedy else ""),
            ) from error


def judged(recipe: Recipe, check_s: float, samples: int, allowed_s: float) -> tuple[Recipe, float]:
    """The recipe with files checked on JUDGED samples (there are so many `samples`) where that takes no longer than
    allowed, and by how many seconds a check is longer. check_s: of one check now. What the recipe says stays."""
    now, then = min(recipe.check.samples, samples), min(JUDGED, samples)
    more = check_s * (then / now - 1)
    if "samples" in recipe.check.model_fields_set or not 0 < more <= allowed_s:
        return recipe, 0.0
    return recipe.model_copy(update={"check": recipe.check.model_copy(update={"samples": JUDGED})}), more


def refuse(entry: DeviceEntry) -> None:
    """Raises NoRealDevice for an emulated device."""
    if entry.emulated:
        raise NoRealDevice(
            f"{entry.name} is emulated: its times mean nothing, so no search can go by them.",
            where="--device",
            remedy=f"name a real device, or {STAND_IN!r}; ./inv deploy says whether the answers are the same",
        )


@dataclass
class Search:
    """One search. See `run`."""

    project: Project
    recipe: Recipe
    target: Target
    entry: DeviceEntry
    asked: Constraints
    budget_s: float
    seed: int
    progress: Progress
    say: Callable[[Done], None]
    note: Callable[[str], None]
    given: Mapping[str, Prices] | None = None
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def folder(self) -> Path:
        """Where it remembers: by all that it was asked, the code that answers, and what its names stand for."""
        question = {
            "recipe": self.recipe.model_dump(mode="json", exclude={"folder", "teachers"}),
            "target": self.target.model_dump(mode="json"),
            "device": self.entry.name,
            "constraints": self.asked.to_json(),
            "budget_s": self.budget_s,
            "seed": self.seed,
            "code": code_of(Path(__file__)),
            "base": {name: node.fingerprint for name, node in self._base_plan({}).nodes.items()},
        }
        return self.project.state / "searches" / sha256_bytes(canonical_json(question))[:16]

    def run(self) -> Found:
        notes = Notes(self.folder)
        watched = Watched(self.progress, notes)
        take_up(self.project, self.note)
        looking = Looking(self.project, self.entry, self.target, self.progress, self.note)
        without = notes.once("without", looking.without)
        plan, built = self._base(watched, notes, without)
        base = measure_base(plan, built, looking, notes)
        self.note(
            f"trained: {base.validation:.4f} {self.recipe.metric.name} on validation, {len(base.ways)} ways measured"
        )
        took = notes.once("base-took", lambda: {"seconds": notes.spent_s})["seconds"]
        if took > BUILDING * self.budget_s:
            self._warn(
                f"the trained network took {took:.0f} s of the {self.budget_s:.0f}, to build and to measure: "
                "what was built is kept, so a longer search has that time for itself"
            )
        places = Places(self.recipe.folder, self.project.cache, self.project.data)
        subject = Subject.load(self.recipe, self.target, places, plan, built, notes)
        pricing, entries = self._pricing(subject.space, base, looking, notes)
        full = full_epochs(self.recipe.train.epochs, [one.epochs or 0 for one in self.recipe.shrink])
        sensing_s = (RELIED_ON if full <= FEW else SENSING) * self.budget_s
        felt = sensitivity(subject.trial(), notes, sensing_s, notes.tick)
        self.note(f"sensitivity: {len(felt.layers)} layers and {len(felt.groups)} groups tried one by one")
        samples = len(subject.parts.validation.y)
        most = finalists(self.budget_s) + lightest(self.budget_s)
        recipe, more_s = judged(
            self.recipe, base.check_s, samples, JUDGING * self.budget_s / (len(base.ways) * (most + 1))
        )
        pace = _pace(base, more_s, self.budget_s)
        sides = min(workers(), most * len({way.runtime for way in base.ways}))
        if pace.bundle_s * len(base.ways) * most >= WORTH_S:
            pace = replace(pace, side=notes.once("side", lambda: {"processes": sides})["processes"])
        making = self._builder(plan, watched, notes, pace.bundle_s)
        workshop = Workshop(recipe, self.target, subject.space, making, without)
        networks = networks_at_the_end(pace, len(base.ways), self.budget_s)
        reserve = pace.finals_s(sum(networks), len(base.ways))
        allowed = cautious(self.asked.max_drop, base.validation, samples)
        rungs = Rungs(
            space=subject.space, workshop=workshop, looking=looking, pricing=pricing,
            forecast=Forecast(subject.space, felt, base.validation, full), asked=self.asked, notes=notes,
            watched=watched, pace=pace, base=base.validation, allowed=allowed, base_variant=base.variant,
            until_s=max(0.35 * self.budget_s, self.budget_s - reserve), budget_s=self.budget_s, seed=self.seed,
            note=self.note,
        )  # fmt: skip
        Untrained(rungs).run()
        rungs.run()
        if networks[1]:
            Lighter(rungs).run()
        return self._found(Finals(rungs, base, self.budget_s, networks), base, entries)

    def _base(self, watched: Watched, notes: Notes, without: Mapping[str, str]) -> tuple[Plan, dict[str, Done]]:
        plan = self._base_plan(without)
        # How long a bundle takes is not known yet; a long search is of a network that takes long.
        bundle_s = WORTH_S if self.budget_s >= 10 * WORTH_S else 0.0
        return plan, build_base(self.recipe, plan, self._builder(plan, watched, notes, bundle_s))

    def _builder(self, plan: Plan, watched: Watched, notes: Notes, bundle_s: float) -> Builder:
        """bundle_s: seconds that a bundle takes by itself."""
        made = builder(self.project, plan, watched, self.say, self.note)
        made.ahead = partial(build_ahead, count=workers(), bundle_s=bundle_s, tick=notes.tick)
        return made

    def _base_plan(self, without: Mapping[str, str]) -> Plan:
        """The trained network's; its fingerprints tell weights, data and a factory that are others now."""
        from pipeline.plan import make_plan

        return make_plan(self.recipe.model_copy(update={"shrink": ()}), self.target, without=without)

    def _pricing(self, space: Space, base: Base, looking: Looking, notes: Notes) -> tuple[Pricing, int]:
        """What layers cost here: measured, or by rule of thumb where they can't be."""
        if self.given is not None:
            return Pricing(space, base.ways, self.given), 0
        if base.look_s > PRICING * self.budget_s:
            self.warnings.append("no layer was measured by itself, the budget is too short: costs by rule of thumb")
            return Pricing(space, base.ways, rule_of_thumb(space, base.ways)), 0
        prices, entries, warnings = prices_for(
            space, base.ways, looking, self.target.alignment, PRICING * self.budget_s, notes
        )
        for warning in warnings:
            self._warn(warning)
        if entries:
            self.note(f"costs: {entries} layers measured by themselves")
        return Pricing(space, base.ways, prices), entries

    def _warn(self, line: str) -> None:
        self.warnings.append(line)
        self.note(f"warning: {line}")

    def _found(self, finals: Finals, base: Base, entries: int) -> Found:
        content = finals.run()
        outcome = {
            "schema": "edgewright-shrink/1",
            "model": self.recipe.name,
            "target": self.target.name,
            "device": self.entry.name,
            "stand_in": self.entry.stand_in,
            "seed": self.seed,
            "constraints": {**self.asked.to_json(), "floor": self.recipe.metric.floor},
            "allowed": finals.rungs.allowed,
            "budget_s": self.budget_s,
            **content,
            "costs": {"entries": entries, "error": content["costs_error"]},
            "warnings": [*self.warnings, *content["warnings"]],
            "spent_s": round(finals.spent_s, 1),
            "report": content["report"],
            "page": str(self.folder / "search.html"),
        }
        del outcome["costs_error"]
        write_atomically(self.folder / "found.json", pretty_json(outcome))
        try:
            searchpage.write(self.folder / "search.html", outcome)
        except OSError as error:
            self.note(f"warning: the page can't be written: {error}")
        # As it was judged, so that what is made of it is what was measured.
        recipe = finals.rungs.workshop.recipe.model_copy(update={"shrink": finals.shrinks()})
        return Found(outcome, recipe)


def _pace(base: Base, more_s: float, budget_s: float) -> Pace:
    """Before anything was trained here: an epoch takes as long as one of the training did, or a part of the budget."""
    epoch = 1.3 * base.epoch_s if base.epoch_s else budget_s / 60
    return Pace(epoch, cut_s=3.0, bundle_s=base.bundle_s + more_s, look_s=base.look_s)
