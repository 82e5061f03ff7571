"""How each variant's network is made, as nodes of a plan: rounds of cutting and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewright.files import sha256_file
from pipeline.recipe import fine_tuning
from pipeline.shrinking import DISTILLATION, KINDS
from pipeline.steps.base import DataSpec, NetworkSpec

if TYPE_CHECKING:
    from pipeline.plan import Layout
    from pipeline.recipe import Recipe
    from pipeline.shrinking import Shrink
    from pipeline.training import Schedule
    from targets.schema import Target

BASE = "trained"
TEACHER = "teacher"
QAT_RATE = 10
"""By how much training's peak learning rate is divided for the epochs with fake quantisation: they only mend."""


def network_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe's network as a step's parameter."""
    return NetworkSpec(factory=recipe.factory, arguments=recipe.arguments, seed=recipe.seed).model_dump()


def data_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe's data set as a step's parameter."""
    return DataSpec(name=recipe.data, arguments=recipe.data_arguments).model_dump()


def useless(shrink: Shrink, target: Target) -> str | None:
    """Why this target has no use for a variant, or None."""
    if shrink.pattern == "2:4" and "2:4" not in target.sparsity:
        return f'{target.name} has no hardware for 2:4 sparsity (a target says so: sparsity = ["2:4"])'
    return None


def trained(layout: Layout, recipe: Recipe, variant: str, retrain: bool = False) -> str:
    """The node that trains a recipe's network, or takes the weights that it names."""
    weights = None if retrain else recipe.weights
    return layout.add(
        variant,
        "train",
        {
            "network": network_of(recipe), "data": data_of(recipe), "metric": recipe.metric.name,
            "schedule": recipe.train.schedule.model_dump(), "early": None if weights else recipe.train.rewind_epoch,
            "weights": weights, "weights_sha256": sha256_file(recipe.folder / weights) if weights else None,
        },
        {},
        recipe=recipe,
    )  # fmt: skip


def ready(
    layout: Layout, name: str, network: str, spec: dict[str, Any], base: str, weight_bits: int | None = None
) -> str:
    """The node that leaves a network made ready for INT8, or "" where the recipe asks for nothing of the kind.

    base: the trained network, which teaches where outputs are logits; with a loss of the recipe's own they may not be.
    """
    recipe, made = layout.recipe, ""
    asked = recipe.quantise
    shared = {"network": spec, "data": layout.data, "samples": asked.samples}
    if asked.equalise and weight_bits is None:  # weights scaled by their inputs' channels have many values again
        made = layout.add(name, "equalise", {**shared, "threads": recipe.train.threads}, {"model": network})
    if asked.qat_epochs:
        rate = recipe.train.learning_rate / QAT_RATE
        schedule = recipe.train.schedule.model_copy(update={"epochs": asked.qat_epochs, "learning_rate": rate})
        taught = schedule.loss == "cross-entropy"
        parameters = {
            **shared, "metric": recipe.metric.name, "schedule": schedule.model_dump(),
            "metric_drop": recipe.check.metric_drop, "teacher": network_of(recipe) if taught else None,
            "temperature": 4.0, "distillation": DISTILLATION, "weight_bits": weight_bits,
        }  # fmt: skip
        given = {"model": made or network, **({"teacher": base} if taught else {})}
        made = layout.add(name, "qat", parameters, given, teacher=recipe if taught else None)
    return made


def shrunk(layout: Layout, shrink: Shrink, base: str) -> tuple[str, dict[str, Any]]:
    """A variant's road from the trained network (`base`) on: its last node, and which network it started from."""
    return _Road(layout, shrink, base).laid_out()


class _Road:
    """The rounds of one variant."""

    def __init__(self, layout: Layout, shrink: Shrink, base: str) -> None:
        self.layout, self.recipe, self.shrink, self.base = layout, layout.recipe, shrink, base
        self.network = layout.network
        self.rounds = shrink.rounds if shrink.gradual else 1
        self.teacher: Recipe | None = None
        self.teaches = ""
        if shrink.taught:
            self.teacher, self.teaches = self._teacher()

    def laid_out(self) -> tuple[str, dict[str, Any]]:
        current = self.base
        cuts = [("prune", k) for k in range(1, self.rounds + 1)] if self.shrink.structured else []
        if self.shrink.zeros:
            # Half of every four weights can't be reached by degrees.
            rounds = 1 if self.shrink.pattern == "2:4" else self.shrink.rounds
            cuts += [("sparsify", k) for k in range(1, rounds + 1)]
        if self.shrink.student is not None:
            current = self._student(last=not cuts)
        for place, (step, round_) in enumerate(cuts, 1):
            last = place == len(cuts)
            mark = "" if len(cuts) == 1 else f" {place}/{len(cuts)}"
            parameters = self._prune(round_) if step == "prune" else self._sparsify(round_)
            current = self.layout.add(self.shrink.name, step, parameters, {"model": current}, f"{step}{mark}")
            current = self._train(current, last, mark)
        return current, self.network

    def _teacher(self) -> tuple[Recipe, str]:
        """Whose network teaches, and the node that trains it."""
        if self.shrink.teacher is None:
            return self.recipe, self.base
        recipe = self.recipe.teachers[self.shrink.teacher]
        variant = f"{TEACHER} {recipe.name}"
        if (id_ := f"{variant}/train") in self.layout.plan.nodes:
            if self.layout.plan.nodes[id_].folders["recipe"] == recipe.folder:
                return recipe, id_
            variant = f"{TEACHER} {self.shrink.teacher}"
        return recipe, trained(self.layout, recipe, variant)

    def _student(self, last: bool) -> str:
        """Another architecture, trained from nothing under the teacher."""
        shrink, train = self.shrink, self.recipe.train
        assert shrink.student is not None
        self.network = NetworkSpec(
            factory=shrink.student, arguments=shrink.student_arguments, seed=self.recipe.seed
        ).model_dump()
        schedule = train.schedule.model_copy(
            update={
                "learning_rate": shrink.learning_rate or train.learning_rate,
                "epochs": train.epochs if shrink.epochs is None or not last else shrink.epochs,
            }
        )
        return self._distil({}, schedule, last, "student")

    def _prune(self, round_: int) -> dict[str, Any]:
        shrink = self.shrink
        return {
            **self._shared(), "metric": self.recipe.metric.name if shrink.layer_importance == "metric" else None,
            "blocks": shrink.blocks, **{kind: getattr(shrink, kind) for kind in KINDS},
            "budget": shrink.budget, "structures": shrink.structures, "widths": shrink.widths,
            "remove": shrink.remove if round_ == 1 else (),
            "vocabulary": shrink.vocabulary and round_ == 1, "unknown": shrink.unknown,
            "criterion": shrink.criterion, "ranking": shrink.ranking, "layer_importance": shrink.layer_importance,
            "min_width": shrink.min_width, "min_heads": shrink.min_heads, "skip": shrink.skip,
            "alignment": self.layout.target.alignment, "samples": shrink.samples, "recalibrate": shrink.recalibrate,
            "round": round_, "rounds": self.rounds, "curve": shrink.curve,
        }  # fmt: skip

    def _sparsify(self, round_: int) -> dict[str, Any]:
        shrink = self.shrink
        rounds = 1 if shrink.pattern == "2:4" else shrink.rounds
        return {
            **self._shared(), "sparsity": shrink.zeros, "pattern": shrink.pattern, "scope": shrink.scope,
            "samples": shrink.samples, "recalibrate": shrink.recalibrate,
            "round": round_, "rounds": rounds, "curve": shrink.curve,
        }  # fmt: skip

    def _shared(self) -> dict[str, Any]:
        """What every cut is told; of the schedule it uses the loss, the batch and the threads."""
        return {
            "network": self.network, "data": self.layout.data, "schedule": self.recipe.train.schedule.model_dump()
        }  # fmt: skip

    def _train(self, current: str, last: bool, mark: str) -> str:
        """After a cut: fine-tuning, or for a lottery ticket back to where it came from and the whole training."""
        shrink, train = self.shrink, self.recipe.train
        if shrink.rewind == "none":
            epochs = fine_tuning(self.recipe, shrink) if last else shrink.round_epochs
            return self._distil({"model": current}, self._fine_tuning(epochs), last, f"distil{mark}")
        # The control draws new weights for the mask that the rounds before it found.
        to = "initial" if shrink.rewind == "random" and not last else shrink.rewind
        inputs = {"model": current, **({"start": self.base} if to == "early" else {})}
        parameters = {"network": self.network, "to": to, "seed": self.recipe.seed}
        current = self.layout.add(shrink.name, "rewind", parameters, inputs, f"rewind{mark}")
        begin = train.rewind_epoch if to == "early" else 0
        schedule = train.schedule.model_copy(update={"begin": begin})
        return self._distil({"model": current}, schedule, last, f"retrain{mark}")

    def _fine_tuning(self, epochs: int) -> Schedule:
        train = self.recipe.train
        if self.shrink.learning_rates == "rewind":
            return train.schedule.model_copy(update={"begin": train.epochs - epochs})
        rate = self.shrink.learning_rate or train.learning_rate / 2
        return train.schedule.model_copy(update={"epochs": epochs, "learning_rate": rate})

    def _distil(self, inputs: dict[str, str], schedule: Schedule, last: bool, label: str) -> str:
        recipe, shrink, teacher = self.recipe, self.shrink, self.teacher
        parameters = {
            "network": self.network, "data": self.layout.data, "metric": recipe.metric.name,
            "schedule": schedule.model_dump(), "floor": recipe.metric.floor if last and recipe.metric.floor else None,
            "teacher": network_of(teacher) if teacher else None,
            "temperature": shrink.temperature, "distillation": shrink.teaching,
            "transfer": shrink.transfer, "transfer_weight": shrink.transfer_weight, "stages": shrink.stages,
            "weight_bits": shrink.weight_bits if last else None,
        }  # fmt: skip
        given = {**inputs, **({"teacher": self.teaches} if self.teaches else {})}
        return self.layout.add(shrink.name, "distil", parameters, given, label, teacher=teacher)
