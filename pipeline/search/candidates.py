"""Candidates of a search as variants of the recipe: built by the same plan and builder as any [[shrink]] table, so each
is cached, resumed after a kill, and can be written into a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.build import REFUSALS, Builder, Done
from pipeline.plan import Plan, Variant, make_plan, with_a_base
from pipeline.pruning.plan import PlanMismatch
from pipeline.pruning.proven import WrongCut
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.pruning.sparsity import CantSparsify
from pipeline.quantization.qat import NothingToRound
from pipeline.recipe import Recipe
from pipeline.search.light import AS_IT_IS, Light
from pipeline.search.pricing import Way
from pipeline.search.space import Choice, Space
from pipeline.shrinking import Shrink
from pipeline.steps.prune import DidNotShrink
from pipeline.training import FloorOutOfReach, TrainingFailed
from targets.schema import Target

INHERITED = (
    "criterion", "samples", "distillation", "temperature", "learning_rate", "teacher", "unknown", "skip",
)  # fmt: skip
"""What a candidate takes over from the recipe's first [[shrink]] table, where that says it."""
TAUGHT = ("distillation", "temperature", "learning_rate", "teacher")
SPOILT = (CantSparsify, DidNotShrink, ImpossibleRatio, NothingToRound, PlanMismatch, TrainingFailed, WrongCut)
"""What takes only its own candidate down."""
BY_DEGREES, LONG = 1 / 3, 8
"""Groups that lose more than two thirds go in two rounds where there are that many epochs."""


@dataclass(frozen=True)
class Candidate:
    """One choice to be trained for so many epochs. number: of its choice, in the order in which they were proposed.

    form: what makes its download smaller and nothing else.
    """

    number: int
    choice: Choice
    epochs: int
    form: Light = AS_IT_IS

    @property
    def light(self) -> bool:
        return self.form != AS_IT_IS

    @property
    def name(self) -> str:
        bits = f"-b{self.form.weight_bits}" if self.form.weight_bits else ""
        zeros = f"-z{round(100 * self.form.sparsity)}" if self.form.sparsity else ""
        return f"c{self.number:02d}-e{self.epochs}{bits}{zeros}"

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "choice": self.choice.to_json(), "form": vars(self.form)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Candidate:
        return cls(content["number"], Choice.from_json(content["choice"]), content["epochs"], Light(**content["form"]))


@dataclass(frozen=True)
class Trained:
    """What a candidate came to. validation: its metric there (None: it failed, `trouble` says why); seconds: of its
    fine-tuning; beside_s: of all else that it took (the cut, data, the teacher's answers), where it was made anew."""

    candidate: Candidate
    validation: float | None
    seconds: float
    trouble: str | None = None
    beside_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "candidate": self.candidate.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Trained:
        return cls(**{**content, "candidate": Candidate.from_json(content["candidate"])})


@dataclass
class Workshop:
    """Makes candidates real. without: runtimes that the device can't have, and why."""

    recipe: Recipe
    target: Target
    space: Space
    builder: Builder
    without: Mapping[str, str] = field(default_factory=dict)

    def shrink(self, candidate: Candidate) -> Shrink:
        """The candidate as a [[shrink]] table."""
        choice, given = candidate.choice, inherited(self.recipe)
        if not self.space.rows:
            given.pop("unknown", None)
        if not candidate.epochs:  # then nobody is taught
            given = {name: value for name, value in given.items() if name not in TAUGHT} | {"distillation": 0.0}
        cut = bool(choice.remove or choice.widths or self.space.rows)
        told: dict[str, Any] = {"name": candidate.name, "epochs": candidate.epochs}
        told |= {"remove": choice.remove} if choice.remove else {}
        told |= {"widths": self.space.named(choice)} if choice.widths else {}
        told |= {"vocabulary": True} if self.space.rows else {}
        told |= {"weight_bits": candidate.form.weight_bits} if candidate.form.weight_bits else {}
        if candidate.form.sparsity:
            told |= {"sparsity": candidate.form.sparsity}
            if cut:  # half of the epochs heal that, before the zeros come
                healing = candidate.epochs // 2
                told |= {"round_epochs": healing, "epochs": candidate.epochs - healing}
        elif self._by_degrees(candidate):
            healing = candidate.epochs // 4
            told |= {"rounds": 2, "round_epochs": healing, "epochs": candidate.epochs - healing}
        if not cut:
            given = {name: value for name, value in given.items() if name not in ("criterion", "samples", "skip")}
        return Shrink(**{**given, **told})

    def _by_degrees(self, candidate: Candidate) -> bool:
        units = {group.name: group.units for group in self.space.groups}
        deep = any(width <= BY_DEGREES * units[name] for name, width in candidate.choice.widths)
        return deep and candidate.epochs >= LONG

    def plan(self, candidates: Sequence[Candidate]) -> Plan:
        """The plan of the trained network and these candidates."""
        recipe = self.recipe.model_copy(update={"shrink": tuple(self.shrink(one) for one in candidates)})
        return make_plan(recipe, self.target, without=self.without)

    def train(self, candidate: Candidate) -> Trained:
        """Cuts and fine-tunes; nothing is exported. Raises what a builder raises, but for a floor out of reach."""
        plan = self.plan([candidate])
        node = plan.nodes[_variants(plan, candidate)[0].check].inputs["network"]
        done = self.builder.build(plan, [node])
        seconds = sum(
            one.artifact.seconds for one in done.values() if one.artifact is not None and one.node.step == "distil"
        )
        last = done[node]
        if last.artifact is not None:
            return Trained(candidate, float(last.artifact.summary["validation"]), seconds)
        best = last.trouble.best if isinstance(last.trouble, FloorOutOfReach) else None
        return Trained(candidate, best, last.seconds, str(last.trouble.what) if last.trouble else "not built")

    def bundles(
        self, candidates: Sequence[Candidate], ways: Sequence[Way], only: Mapping[str, str] | None = None
    ) -> tuple[Plan, dict[str, Done]]:
        """Builds bundles of these and of the trained network in these ways; the plan has no other variants.

        only: of a candidate (by name) the one way, by its variant, that is wanted.
        """
        plan, wanted = self.plan(candidates), {way.variant: (way.runtime, way.precision) for way in ways}
        just = {name: wanted[variant] for name, variant in (only or {}).items()}
        plan.variants = [
            one
            for one in with_a_base(plan.variants, set(wanted))
            if (key := (one.runtime.name, one.precision)) in wanted.values()
            and key == just.get(_network(plan, one), key)
        ]
        return plan, self._built(plan)

    def _built(self, plan: Plan) -> dict[str, Done]:
        """All bundles. What one runtime's converter refuses takes only its own variant down."""
        try:
            return self.builder.build(plan, [plan.samples, *(one.bundle for one in plan.variants)])
        except REFUSALS:
            built = self.builder.build(plan, [plan.samples])
            for variant in plan.variants:
                try:
                    built |= self.builder.build(plan, [variant.bundle])
                except REFUSALS as error:
                    built[variant.bundle] = Done(plan.nodes[variant.bundle], None, False, 0.0, error)
            return built


def inherited(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's own first table says of how to choose and to teach."""
    from pipeline.pruning.criteria import NEEDS

    if not recipe.shrink:
        return {}
    first = recipe.shrink[0]
    found = {name: getattr(first, name) for name in INHERITED if name in first.model_fields_set}
    if "start" in NEEDS[found.get("criterion", "taylor")]:
        del found["criterion"]
    return found


def by_way(plan: Plan, candidate: str, ways: Sequence[Way]) -> dict[str, Variant]:
    """A candidate's variants by the way's variant; "" is the trained network."""
    found = {}
    for way in ways:
        for variant in plan.variants:
            same = (variant.runtime.name, variant.precision) == (way.runtime, way.precision)
            if same and _network(plan, variant) == (candidate or "trained"):
                found[way.variant] = variant
    return found


def _network(plan: Plan, variant: Variant) -> str:
    return plan.nodes[plan.nodes[variant.check].inputs["network"]].variant


def _variants(plan: Plan, candidate: Candidate) -> list[Variant]:
    return [one for one in plan.variants if _network(plan, one) == candidate.name]
