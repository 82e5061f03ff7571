"""The trained network that a search begins with: built, measured on the device in every way, and looked into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from device_agents.bundle import read_bundle
from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline import data, network
from pipeline.build import Builder, Done
from pipeline.plan import Plan, with_a_base
from pipeline.recipe import Recipe
from pipeline.search.candidates import inherited
from pipeline.search.constraints import check_floor
from pipeline.search.looking import Looking, laid_out
from pipeline.search.notes import Notes
from pipeline.search.pricing import Way
from pipeline.search.sensitivity import Trial, orders_of
from pipeline.search.space import Space, find_space
from pipeline.steps.base import DataSpec, NetworkSpec, Places, Work
from targets.schema import Target

if TYPE_CHECKING:
    from torch import nn

    from models.data.parts import DataParts

SETTLING = 512
"""Training samples that batch norms take their statistics from, and that importance is judged on."""
PREPARING = ("export", "quantise", "reduce", "check", "ort", "bundle")


class BaseNotMeasured(EdgewrightError):
    """The device gave no time of the trained network, so there is nothing to compare with."""


@dataclass(frozen=True)
class Base:
    """validation: the network's metric there; variant: the base that all are compared with; ways: measured;
    bundle_s: from a network to one bundle; check_s: of its check; look_s: of that session; epoch_s: of training, None:
    it came trained."""

    validation: float
    variant: str
    ways: list[Way]
    bundle_s: float
    check_s: float
    look_s: float
    epoch_s: float | None


def build_base(recipe: Recipe, plan: Plan, builder: Builder) -> dict[str, Done]:
    """The trained network in every runtime and precision of its plan. Raises Contradiction."""
    built = builder.build(plan, [plan.samples, *(variant.bundle for variant in plan.variants)])
    reached = _trained(plan, built).summary["validation"]
    check_floor(recipe.metric.floor, recipe.metric.name, reached, f"{recipe.name}.toml")
    return built


def measure_base(plan: Plan, built: dict[str, Done], looking: Looking, notes: Notes) -> Base:
    """Every bundle of the trained network in one session; noted. Raises BaseNotMeasured, DeviceError."""

    def make() -> dict[str, Any]:
        folders = laid_out(looking.project, plan, built)
        if not folders:
            trouble = next((one.trouble for one in built.values() if one.trouble), None)
            assert trouble is not None
            raise trouble
        variants = [one for one in with_a_base(plan.variants, set(folders)) if one.name in folders]
        began = notes.spent_s
        times = looking.short(variants[0].name, folders)
        if variants[0].name not in times:
            raise BaseNotMeasured(
                f"{looking.entry.name} gave no time of {variants[0].name}",
                where=variants[0].runtime.name,
                remedy="./inv deploy says what the device answered",
            )
        ways = []
        for variant in variants:
            manifest = read_bundle(folders[variant.name]).manifest
            if variant.name in times:
                ways.append({
                    "variant": variant.name, "runtime": variant.runtime.name, "precision": variant.precision,
                    "ms": times[variants[0].name]["ms"] / times[variant.name]["speedup"], "bytes": manifest.bytes,
                    "params": manifest.params or 0,
                })  # fmt: skip
        artifact = _trained(plan, built)
        schedule = artifact.ingredients["parameters"]["schedule"]
        told = artifact.ingredients["parameters"]["weights"] is None and schedule["epochs"]
        made = [one for one in built.values() if one.artifact and one.node.label in PREPARING]
        checks = sum(one.seconds for one in made if one.node.label == "check")
        return {
            "validation": artifact.summary["validation"], "variant": variants[0].name, "ways": ways,
            "look_s": notes.spent_s - began, "bundle_s": sum(one.seconds for one in made) / max(1, len(folders)),
            "check_s": checks / max(1, len(folders)),
            "epoch_s": artifact.seconds / schedule["epochs"] if told else None,
        }  # fmt: skip

    content = notes.once("base", make)
    return Base(**{**content, "ways": [Way(**way) for way in content["ways"]]})


def _trained(plan: Plan, built: Mapping[str, Done]) -> Any:
    artifact = built[next(node.id for node in plan.nodes.values() if node.step == "train")].artifact
    assert artifact is not None
    return artifact


@dataclass
class Subject:
    """The trained network, prepared for cutting, with its data and its space."""

    recipe: Recipe
    places: Places
    network: nn.Module
    parts: DataParts
    space: Space

    @classmethod
    def load(
        cls, recipe: Recipe, target: Target, places: Places, plan: Plan, built: Mapping[str, Done], notes: Notes
    ) -> Subject:
        """Raises NotTraceable, NothingToRemove."""
        import torch

        from pipeline.pruning.coupling import prepare

        torch.set_num_threads(recipe.train.threads)
        node = next(node for node in plan.nodes.values() if node.step == "train")
        parts = data.load(DataSpec.model_validate(node.parameters["data"]), places)
        net, _ = network.rebuilt(
            NetworkSpec.model_validate(node.parameters["network"]), places.recipe, _trained(plan, built)
        )
        example = (torch.from_numpy(parts.train.x[:2].copy()),)
        space = find_space(net, example, target.alignment, inherited(recipe).get("skip", ()))
        space = replace(space, rows=notes.once("rows", lambda: _rows(net, parts, recipe.train.batch)))
        prepare(net)
        return cls(recipe, places, net.eval(), parts, space)

    def trial(self) -> Trial:
        """What trying cuts takes. Raises MissingEvidence."""
        import torch

        from pipeline.pruning.recalibrate import recalibrate
        from pipeline.steps.prune import batches_of
        from pipeline.steps.train import loss_function, validation_metric

        batch = min(128, self.recipe.train.batch)
        x, y = torch.from_numpy(self.parts.train.x), torch.from_numpy(self.parts.train.y)
        settling = batches_of(self.parts, SETTLING, batch)
        rows = list(torch.split(torch.arange(min(len(x), SETTLING)), batch))
        nowhere = Work(self.places.recipe, self.places.recipe, self.places, Silent())
        orders = orders_of(
            self.network, self.space, inherited(self.recipe).get("criterion", "taylor"), rows,
            loss_function(self.recipe.train.schedule, nowhere), x, y, self.recipe.seed,
        )  # fmt: skip

        def judge(net: nn.Module, samples: int) -> float:
            few = replace(self.parts, validation=self.parts.validation.first(samples))
            return validation_metric(net, few, self.recipe.metric.name, self.places)

        return Trial(self.network, self.space, orders, judge, lambda net: recalibrate(net, settling))


def _rows(net: nn.Module, parts: DataParts, batch: int) -> dict[str, int]:
    """Rows that each large embedding keeps where those that the training part never looks up go."""
    import torch

    from pipeline.pruning.vocabulary import find_embeddings, used_rows

    names, _ = find_embeddings(net)
    if not names:
        return {}
    x = torch.from_numpy(parts.train.x)
    batches = list(torch.split(torch.arange(len(x)), batch))
    used, _ = used_rows(net, names, lambda rows: (x[rows],), batches)
    return {name: len(rows) for name, rows in used.items() if len(rows) < net.get_parameter(f"{name}.weight").shape[0]}
