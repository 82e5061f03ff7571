"""From a network to bundles: which steps each runtime's format takes, for every runtime and precision of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.variants import BASE, TEACHER
from targets.schema import TENSORRT, possible

if TYPE_CHECKING:
    from pipeline.plan import Layout, Node
    from targets.schema import Precision, Runtime

ONNX, TFLITE = ("onnx", "ort"), ("tflite",)


def variant_name(name: str, precision: Precision, runtime: Runtime, first: bool) -> str:
    """`pruned`, `pruned+int8`; of the trained network `trained`, `int8`; after the first runtime with @runtime."""
    said = name if precision == "float32" else precision if name == BASE else f"{name}+{precision}"
    return said if first else f"{said}@{runtime.name}"


def exported(
    layout: Layout, name: str, network: str, spec: dict[str, Any], bases: Mapping[str, str], ready: str = ""
) -> dict[str, str]:
    """Exports, quantises, checks and bundles one network for every runtime; each runtime's float export (node).

    network: the node that leaves it; bases: the trained network's float export by runtime, empty for itself; ready:
    the node that leaves it made ready for INT8, where one does.
    """
    made: dict[str, str] = {}
    for runtime in layout.target.runtime:
        first = runtime is layout.target.runtime[0]
        route = _Route(layout, runtime, name, network, spec, bases.get(runtime.name), ready)
        made[runtime.name] = exported = route.export(variant_name(name, "float32", runtime, first), network)
        for precision in precisions(layout.recipe.quantise.precisions, runtime):
            route.finish(variant_name(name, precision, runtime, first), precision, first, exported)
    return made


def precisions(asked: tuple[Precision, ...] | None, runtime: Runtime) -> list[Precision]:
    """What to build for a runtime, float32 first: what the recipe asks for as far as the runtime has it, or its own."""
    chosen = runtime.precisions
    if asked is not None:
        chosen = tuple(one for one in asked if one in possible(runtime))
    return ["float32", *(one for one in chosen if one != "float32")]


@dataclass
class _Route:
    """One network on its way into one runtime."""

    layout: Layout
    runtime: Runtime
    name: str
    network: str
    spec: dict[str, Any]
    base: str | None
    ready: str = ""

    @property
    def _shared(self) -> dict[str, Any]:
        return {"network": self.spec, "data": self.layout.data}

    def export(self, variant: str, network: str) -> str:
        """The float export of a network (node)."""
        format_, given = self.runtime.format, {"model": network}
        more: dict[str, Any] = {}
        if format_ in ONNX:
            step, more = "export", {"opset": self.runtime.opset}
        elif format_ in TFLITE:
            step = "tflite_export"
        else:
            step, more = "torch_export", {"format": format_}
        return self.layout.add(variant, step, {**self._shared, **more}, given, "export")

    def finish(self, variant: str, precision: Precision, first: bool, exported: str) -> None:
        """What makes one precision of its float export (`exported`) a bundle, and its place among the variants."""
        layout, runtime, recipe = self.layout, self.runtime, self.layout.recipe
        network = self.network
        if self.ready and precision == "int8":
            # A network that was made ready for INT8 has a float file of its own, which no one ships.
            network, exported = self.ready, self.export(variant, self.ready)
        model = self._model(variant, precision, exported)
        tested = {"network": network, "float": exported, **({"base": self.base} if self.base else {})}
        if model != exported:
            tested["quantised"] = model
        step = {"onnx": "check", "ort": "check", "tflite": "tflite_check"}.get(runtime.format, "torch_check")
        check = layout.add(
            variant,
            step,
            {
                **self._shared, "metric": recipe.metric.name, "bounds": recipe.check.model_dump(),
                "precision": precision if "quantised" in tested else "float32",
            },
            tested,
            "check",
        )  # fmt: skip
        if runtime.format == "ort":
            model = layout.add(variant, "ort", {"data": layout.data}, {"model": model})
        behind = layout.plan.needed_for([check, model])
        bundle = layout.add(
            variant,
            "bundle",
            {
                "name": variant, "model": recipe.name, "target": layout.target.name, "data": layout.data,
                "runtime": runtime.name, "format": runtime.format, "precision": precision,
                "alignment": layout.target.alignment,
                "origin": {"steps": {_said(node): node.fingerprint for node in behind}, "libraries": _versions(behind)},
            },
            {"model": model, "float": exported, "check": check},
        )  # fmt: skip
        layout.variant(variant, precision, self._parent(precision, first), bundle, check, runtime)

    def _model(self, variant: str, precision: Precision, exported: str) -> str:
        """The node whose file is shipped."""
        int8, runtime, given = self.runtime.int8, self.runtime, {"model": exported}
        if precision == "float32" or (precision == "float16" and TENSORRT in runtime.providers):
            return exported  # TensorRT makes its FP16 itself, from the float file
        shared = {"data": self.layout.data, "per_channel": int8.per_channel}
        if runtime.format in ONNX and precision != "int8":
            return self.layout.add(variant, "reduce", {**shared, "precision": precision}, given, "quantise")
        if runtime.format in ONNX:
            more: dict[str, Any] = {"activations": int8.activations, "symmetric": int8.symmetric_activations}
            return self.layout.add(variant, "quantise", {**shared, **self._calibration(), **more}, given)
        more = {
            "precision": precision, "integer_io": int8.integer_io and precision == "int8",
            # tflite-runtime reads dynamic range with a scale a channel as noise, without a word.
            "per_tensor_linear": precision == "dynamic" and runtime.name == "tflite-runtime",
            **(self._calibration() if precision == "int8" else {}),
        }  # fmt: skip
        return self.layout.add(variant, "tflite_quantise", {**shared, **more}, given, "quantise")

    def _calibration(self) -> dict[str, Any]:
        recipe = self.layout.recipe
        asked = recipe.quantise.model_dump(include={"calibration", "samples", "bias_correction", "mixed"})
        bounds = recipe.check.model_dump(include={"metric_drop", "agreement"})
        return {**asked, "metric": recipe.metric.name, **bounds}

    def _parent(self, precision: Precision, first: bool) -> str | None:
        if precision != "float32":
            return variant_name(self.name, "float32", self.runtime, first)
        if self.name != BASE:
            return variant_name(BASE, "float32", self.runtime, first)
        return None if first else BASE


def _said(node: Node) -> str:
    """A step's name in a manifest: its label; a teacher's training is told from the model's own."""
    return node.id if node.variant.startswith(TEACHER + " ") else node.label


def _versions(nodes: list[Node]) -> dict[str, str]:
    return {name: version for node in nodes for name, version in sorted(node.ingredients["libraries"].items())}
