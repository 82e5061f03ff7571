"""Recipe x target laid out as steps, each with a fingerprint of all that goes into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import data, routes, variants
from pipeline.fingerprint import code_of, fingerprint, libraries, libraries_of
from pipeline.locate import source_of
from pipeline.recipe import Recipe
from pipeline.steps.base import DataSpec
from pipeline.steps.registry import source_file, step_class
from targets.schema import Runtime, Target

BASE = variants.BASE
SHARED = "shared"


@dataclass(frozen=True)
class Node:
    """One step of a plan. inputs: the step's name for each of them > the node that leaves it.

    folders: where the recipe that the step belongs to lies, and its teacher's; no part of the fingerprint.
    """

    id: str
    variant: str
    step: str
    label: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    ingredients: Mapping[str, Any]
    fingerprint: str
    folders: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """One way of shrinking, for one runtime. parent: the variant that it came from, None for the base.

    bundle, check: the nodes that leave its bundle and its comparison with torch.
    """

    name: str
    precision: str
    parent: str | None
    bundle: str
    check: str
    runtime: Runtime


@dataclass
class Plan:
    """Nodes in an order in which they can run. skipped: what is left out, and why: variants that this target has no use
    for, runtimes that this device can't have."""

    recipe: Recipe
    target: Target
    nodes: dict[str, Node] = field(default_factory=dict)
    variants: list[Variant] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
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


class Layout:
    """Adds nodes to a plan; knows what every step of it shares."""

    def __init__(self, recipe: Recipe, target: Target) -> None:
        self.plan = Plan(recipe, target)
        self.recipe, self.target = recipe, target
        self.network = variants.network_of(recipe)
        self.data = variants.data_of(recipe)
        self._digests: dict[tuple[str, Path], Any] = {}

    def add(
        self,
        variant: str,
        step: str,
        parameters: dict[str, Any],
        inputs: dict[str, str],
        label: str = "",
        *,
        recipe: Recipe | None = None,
        teacher: Recipe | None = None,
    ) -> str:
        """A node `variant/label`; what it shares with other nodes of the kind is looked up once.

        recipe: whose step it is, where it is another recipe's; teacher: the recipe of the network that teaches.
        """
        label = label or step
        id_ = f"{variant}/{label}"
        cls = step_class(step)
        owner = recipe or self.recipe
        parsed = cls.Parameters.model_validate(parameters).model_dump(mode="json")
        folders = {"recipe": owner.folder, **({"teacher": teacher.folder} if teacher else {})}
        ingredients = {
            "step": step,
            "parameters": parsed,
            "inputs": {name: self.plan.nodes[node].fingerprint for name, node in sorted(inputs.items())},
            "code": self._once(f"step {step}", Path(), lambda: code_of(source_file(step))),
            "libraries": libraries(cls.libraries),
            **self._named(parsed, folders),
        }
        node = Node(id_, variant, step, label, parsed, inputs, ingredients, fingerprint(ingredients), folders)
        self.plan.nodes[id_] = node
        return id_

    def variant(self, name: str, precision: str, parent: str | None, bundle: str, check: str, runtime: Runtime) -> None:
        """Notes that the node `bundle` ends a variant."""
        self.plan.variants.append(Variant(name, precision, parent, bundle, check, runtime))

    def _named(self, parameters: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, Any]:
        """Digests of what the recipe names: data, factories, metric and loss, where the step has to do with them."""
        folder, found = folders["recipe"], {}
        if "data" in parameters:
            spec = DataSpec.model_validate(parameters["data"])
            found["data"] = self._once(f"data {spec.name}", folder, lambda: data.digest(spec, folder))
        if "network" in parameters:
            found["factory"] = self._code(parameters["network"]["factory"], folder, "factory")
        if parameters.get("teacher"):
            found["teacher"] = self._code(parameters["teacher"]["factory"], folders["teacher"], "factory")
        if parameters.get("metric") not in (None, "top-1"):
            found["metric"] = self._code(parameters["metric"], folder, "metric.name")
        loss = parameters.get("schedule", {}).get("loss", "cross-entropy")
        if loss != "cross-entropy":
            found["loss"] = self._code(loss, folder, "train.loss")
        return found

    def _code(self, spec: str, folder: Path, key: str) -> Any:
        def digests() -> dict[str, str]:
            source = source_of(spec, folder, key)
            return {**code_of(source, folder), **libraries_of(source, folder)}

        return self._once(spec, folder, digests)

    def _once(self, key: str, folder: Path, make: Any) -> Any:
        if (key, folder) not in self._digests:
            self._digests[key, folder] = make()
        return self._digests[key, folder]


def make_plan(recipe: Recipe, target: Target, retrain: bool = False, without: Mapping[str, str] | None = None) -> Plan:
    """Lays out every variant that `recipe` and `target` ask for. `retrain` leaves the recipe's trained weights aside.

    without: runtimes of the target that the device can't have, and why. Imports nothing heavy and runs nothing.
    """
    without = without or {}
    left = tuple(runtime for runtime in target.runtime if runtime.name not in without)
    layout = Layout(recipe, target.model_copy(update={"runtime": left}))
    layout.plan.skipped.update(without)
    layout.plan.samples = layout.add(SHARED, "samples", {"data": layout.data}, {})
    trained = variants.trained(layout, recipe, BASE, retrain)
    ready = variants.ready(layout, BASE, trained, layout.network, trained)
    bases = routes.exported(layout, BASE, trained, layout.network, {}, ready)
    for shrink in recipe.shrink:
        if (reason := variants.useless(shrink, target)) is not None:
            layout.plan.skipped[shrink.name] = reason
            continue
        network, spec = variants.shrunk(layout, shrink, trained)
        routes.exported(
            layout,
            shrink.name,
            network,
            spec,
            bases,
            variants.ready(layout, shrink.name, network, spec, trained, shrink.weight_bits),
        )
    return layout.plan


def with_a_base(variants: list[Variant], built: set[str]) -> list[Variant]:
    """The variants with a base that was built: where the first runtime has none, the next one's trained network."""
    base = next(variant for variant in variants if variant.parent is None)
    heirs = [one for one in variants if one.parent == base.name and one.name.partition("@")[0] == base.name]
    heir = next((one for one in heirs if one.name in built), None)
    if base.name in built or heir is None:
        return variants
    parents = {heir.name: None, base.name: heir.name}
    changed = [replace(one, parent=parents.get(one.name, one.parent)) for one in variants]
    return sorted(changed, key=lambda one: one.parent is not None)
