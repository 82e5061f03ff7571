"""Recipe x target laid out as steps, each with a fingerprint of all that goes into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgewright.files import sha256_file
from pipeline import data
from pipeline.fingerprint import code_of, fingerprint, libraries
from pipeline.locate import source_of
from pipeline.recipe import Recipe, Shrink
from pipeline.steps.base import DataSpec, NetworkSpec
from pipeline.steps.registry import source_file, step_class
from targets.schema import Target

BASE = "trained"
SHARED = "shared"


@dataclass(frozen=True)
class Node:
    """One step of a plan. inputs: the step's name for each of them > the node that leaves it."""

    id: str
    variant: str
    step: str
    label: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    ingredients: Mapping[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Variant:
    """One way of shrinking. parent: the variant that it came from, None for the base."""

    name: str
    precision: str
    parent: str | None
    bundle: str


@dataclass
class Plan:
    """Nodes in an order in which they can run."""

    recipe: Recipe
    target: Target
    nodes: dict[str, Node] = field(default_factory=dict)
    variants: list[Variant] = field(default_factory=list)
    samples: str = ""

    def needed_for(self, wanted: list[str]) -> list[Node]:
        """The nodes that `wanted` (ids) rest on, themselves included, in order."""
        need, waiting = set(), list(wanted)
        while waiting:
            node = waiting.pop()
            if node not in need:
                need.add(node)
                waiting += self.nodes[node].inputs.values()
        return [node for node in self.nodes.values() if node.id in need]


class _Layout:
    """Adds nodes to a plan; knows what every step of it shares."""

    def __init__(self, recipe: Recipe, target: Target) -> None:
        self.plan = Plan(recipe, target)
        self.recipe, self.target = recipe, target
        self.network = NetworkSpec(factory=recipe.factory, arguments=recipe.arguments, seed=recipe.seed).model_dump()
        self.data = DataSpec(name=recipe.data, arguments=recipe.data_arguments)
        self._digests: dict[str, Any] = {}

    def add(self, variant: str, step: str, parameters: dict[str, Any], inputs: dict[str, str], label: str = "") -> str:
        """A node `variant/label`; what it shares with other nodes of the kind is looked up once."""
        label = label or step
        id_ = f"{variant}/{label}"
        cls = step_class(step)
        parsed = cls.Parameters.model_validate(parameters).model_dump(mode="json")
        ingredients = {
            "step": step,
            "parameters": parsed,
            "inputs": {name: self.plan.nodes[node].fingerprint for name, node in sorted(inputs.items())},
            "code": code_of(source_file(step)),
            "libraries": libraries(cls.libraries),
            **self._named(parsed),
        }
        node = Node(id_, variant, step, label, parsed, inputs, ingredients, fingerprint(ingredients))
        self.plan.nodes[id_] = node
        return id_

    def _named(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Digests of what the recipe names: data, factory, metric and loss, where the step has to do with them."""
        folder, found = self.recipe.folder, {}
        if "data" in parameters:
            found["data"] = self._once("data", lambda: data.digest(self.data, folder))
        if "network" in parameters:
            found["factory"] = self._code(self.recipe.factory, "factory")
        if parameters.get("metric", "top-1") != "top-1":
            found["metric"] = self._code(parameters["metric"], "metric.name")
        loss = parameters.get("schedule", {}).get("loss", "cross-entropy")
        if loss != "cross-entropy":
            found["loss"] = self._code(loss, "train.loss")
        return found

    def _code(self, spec: str, key: str) -> Any:
        return self._once(spec, lambda: code_of(source_of(spec, self.recipe.folder, key), self.recipe.folder))

    def _once(self, key: str, make: Any) -> Any:
        if key not in self._digests:
            self._digests[key] = make()
        return self._digests[key]


def make_plan(recipe: Recipe, target: Target, retrain: bool = False) -> Plan:
    """Lays out every variant that `recipe` and `target` ask for. `retrain` leaves the recipe's trained weights aside.

    Imports nothing heavy and runs nothing.
    """
    layout = _Layout(recipe, target)
    data_ = layout.data.model_dump()
    layout.plan.samples = layout.add(SHARED, "samples", {"data": data_}, {})
    weights = None if retrain else recipe.weights
    trained = layout.add(
        BASE,
        "train",
        {
            "network": layout.network, "data": data_, "metric": recipe.metric.name,
            "schedule": recipe.train.model_dump(),
            "weights": weights, "weights_sha256": sha256_file(recipe.folder / weights) if weights else None,
        },
        {},
    )  # fmt: skip
    base = _exported(layout, BASE, trained, None)
    for shrink in recipe.shrink:
        _exported(layout, shrink.name, _shrunk(layout, shrink, trained), base)
    return layout.plan


def _shrunk(layout: _Layout, shrink: Shrink, trained: str) -> str:
    """Rounds of prune and distil; the last distil's node."""
    recipe, current = layout.recipe, trained
    shared = {"network": layout.network, "data": layout.data.model_dump()}
    for round_ in range(1, shrink.rounds + 1):
        last = round_ == shrink.rounds
        place = "" if shrink.rounds == 1 else f" {round_}/{shrink.rounds}"
        schedule = recipe.train.model_copy(
            update={"epochs": shrink.epochs if last else shrink.round_epochs, "learning_rate": shrink.learning_rate}
        )
        current = layout.add(
            shrink.name,
            "prune",
            {
                **shared, "schedule": recipe.train.model_dump(), "blocks": shrink.blocks, "filters": shrink.filters,
                "criterion": shrink.criterion, "ranking": shrink.ranking, "min_width": shrink.min_width,
                "alignment": layout.target.alignment, "samples": shrink.samples,
                "round": round_, "rounds": shrink.rounds,
            },
            {"model": current},
            f"prune{place}",
        )  # fmt: skip
        current = layout.add(
            shrink.name,
            "distil",
            {
                **shared, "metric": recipe.metric.name, "schedule": schedule.model_dump(),
                "temperature": shrink.temperature, "distillation": shrink.distillation,
            },
            {"model": current, "teacher": trained},
            f"distil{place}",
        )  # fmt: skip
    return current


def _exported(layout: _Layout, name: str, network: str, base: str | None) -> str:
    """Export, quantise, check and bundle one network in each precision of the target; the export's node."""
    target, recipe = layout.target, layout.recipe
    shared = {"network": layout.network, "data": layout.data.model_dump()}
    exported = layout.add(
        name, "export", {**shared, "format": target.format, "opset": target.opset}, {"model": network}
    )
    for precision in sorted(target.precisions, key=lambda one: one != "float32"):
        int8 = precision == "int8"
        variant = name if not int8 else "int8" if name == BASE else f"{name}+int8"
        model, tested = exported, {"network": network, "float": exported, **({"base": base} if base else {})}
        if int8:
            model = layout.add(
                variant,
                "quantise",
                {
                    "data": layout.data.model_dump(), "activations": target.int8.activations,
                    "per_channel": target.int8.per_channel, "symmetric": target.int8.symmetric_activations,
                },
                {"model": exported},
            )  # fmt: skip
            tested["int8"] = model
        check = layout.add(
            variant, "check", {**shared, "metric": recipe.metric.name, "bounds": recipe.check.model_dump()}, tested
        )
        behind = layout.plan.needed_for([check])
        bundle = layout.add(
            variant,
            "bundle",
            {
                "name": variant, "model": recipe.name, "target": target.name, "data": layout.data.model_dump(),
                "runtime": target.runtime, "format": target.format, "precision": precision,
                "alignment": target.alignment,
                "origin": {"steps": {node.label: node.fingerprint for node in behind}, "libraries": _versions(behind)},
            },
            {"model": model, "float": exported, "check": check},
        )  # fmt: skip
        parent = name if int8 else None if name == BASE else BASE
        layout.plan.variants.append(Variant(variant, precision, parent, bundle))
    return exported


def _versions(nodes: list[Node]) -> dict[str, str]:
    return {name: version for node in nodes for name, version in sorted(node.ingredients["libraries"].items())}
