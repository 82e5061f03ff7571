"""Proves an exported file against its network on real inputs, and that shrinking made it smaller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json
from pipeline import data, network
from pipeline.metrics import metric
from pipeline.pruning.plan import Cut, PruningPlan, Remove, Rows, Zeros
from pipeline.pruning.sparsity import lost
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.export import MODEL, NAMED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from models.data.parts import Part

FILE = "check.json"
DRIFT_SAMPLES = 32


class CheckFailed(EdgewrightError):
    """The exported file does not do what the network does, within the recipe's bounds."""


class NotSmaller(EdgewrightError):
    """A file that was to be smaller than what it came from and is not (rule 3)."""


class Limits(BaseModel):
    """The recipe's bounds; see pipeline.recipe.Bounds."""

    float_difference: float
    agreement: float
    metric_drop: float
    samples: int


class CheckParameters(StepParameters):
    network: NetworkSpec
    data: DataSpec
    metric: str
    bounds: Limits


class Check(Step[CheckParameters]):
    """From `network`, `float` (its export) and, if INT8 is checked, `int8`; `base` is the unpruned export.

    Leaves check.json. Raises CheckFailed, naming the layer, or NotSmaller.
    """

    name: ClassVar[str] = "check"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxruntime", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = CheckParameters

    def run(self, inputs: Mapping[str, Input], parameters: CheckParameters, work: Work) -> dict[str, Any]:
        import torch

        from pipeline.distillation import logits_of

        # On validation: the test part is looked at once, on the device.
        part = data.load(parameters.data, work.places).validation.first(parameters.bounds.samples)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["network"])
        torch.set_num_threads(1)
        reference = logits_of(net, torch.from_numpy(part.x)).numpy()
        judge = metric(parameters.metric, work.places.recipe)
        figures: dict[str, Any] = {"samples": len(part), "metric_torch": judge(reference, part.y)}
        if "base" in inputs:
            _shrunk(plan, inputs["float"], inputs["base"])
        exported = _float(net, inputs["float"], reference, part, parameters, figures)
        figures["metric_float"] = judge(exported, part.y)
        if "int8" in inputs:
            _smaller(inputs["int8"], inputs["float"], "int8", ("bytes",))
            _int8(inputs, exported, part, parameters, figures, judge)
        if sparsity := _sparsity(net, plan, inputs):
            figures["sparsity"] = sparsity
        (work.out / FILE).write_bytes(pretty_json(figures))
        return {**figures, "figure": _sentence(figures)}


def _float(
    net: nn.Module,
    exported: Input,
    reference: NDArray[np.float32],
    part: Part,
    parameters: CheckParameters,
    figures: dict[str, Any],
) -> NDArray[np.float32]:
    import onnx

    from pipeline.export.compare import run_file, torch_drift, worst_difference

    outputs = run_file(exported.path(MODEL).read_bytes(), part.x)
    difference = worst_difference(reference, outputs)
    figures["float_difference"] = difference
    bound = parameters.bounds.float_difference
    if not difference <= bound:
        drift = torch_drift(net, onnx.load_from_string(exported.path(NAMED).read_bytes()), part.x, bound)
        raise CheckFailed(
            f"The float export departs from torch by {difference:.2g} of the outputs' spread, {bound:g} is allowed",
            where=drift,
            remedy="look at that layer's export; check.float_difference in the recipe is the bound",
        )
    return outputs


def _int8(
    inputs: Mapping[str, Input],
    exported: NDArray[np.float32],
    part: Part,
    parameters: CheckParameters,
    figures: dict[str, Any],
    judge: Any,
) -> None:
    import onnx

    from pipeline.export.compare import int8_drift, run_file, sqnr

    outputs = run_file(inputs["int8"].path(MODEL).read_bytes(), part.x)
    figures["metric_int8"] = judge(outputs, part.y)
    figures["sqnr_db"] = sqnr(exported, outputs)
    figures["agreement"] = float((outputs.argmax(-1) == exported.argmax(-1)).mean())
    bounds, trouble = parameters.bounds, ""
    if figures["metric_float"] - figures["metric_int8"] > bounds.metric_drop:
        lost = figures["metric_float"] - figures["metric_int8"]
        trouble = f"loses {lost:.3f} of the metric, {bounds.metric_drop:g} is allowed"
    elif parameters.metric == "top-1" and figures["agreement"] < bounds.agreement:
        trouble = f"agrees with float on {figures['agreement']:.1%} of the samples, {bounds.agreement:.1%} is asked"
    if trouble:
        models = [onnx.load_from_string(inputs[name].path(NAMED).read_bytes()) for name in ("float", "int8")]
        raise CheckFailed(
            f"INT8 {trouble}",
            where=int8_drift(models[0], models[1], part.x[:DRIFT_SAMPLES]),
            remedy="give more calibration samples, or leave int8 out of the target's precisions; "
            "the bounds are under check in the recipe",
        )


def _shrunk(plan: PruningPlan, made: Input, base: Input) -> None:
    """Rule 3: structure that went must be gone from the file; where only zeros came, the download must have fallen."""
    if any(isinstance(action, Cut | Remove) for action in plan.actions):
        _smaller(made, base, "pruned", ("bytes", "macs", "elements"))
    elif any(isinstance(action, Rows) for action in plan.actions):
        _smaller(made, base, "pruned", ("bytes", "elements"))
    elif plan.zeroed:
        _smaller(made, base, "sparse", ("download",))
        if made.summary["weights"] != base.summary["weights"]:
            raise NotSmaller(
                "Weights of the sparse file have other shapes than before, though only zeros were made",
                where="check",
                remedy="please report this",
            )


def _sparsity(net: nn.Module, plan: PruningPlan, inputs: Mapping[str, Input]) -> dict[str, Any]:
    """Pattern, share of zeros in the held weights, and in all weights of each file; {} where none are held.

    Raises CheckFailed where promised zeros are not in the network, or not in a file.
    """
    actions = [action for action in plan.actions if isinstance(action, Zeros)]
    if not actions:
        return {}
    missing = lost(net, actions)
    weights = [net.get_parameter(name) for name in plan.zeroed]
    zeros, of = sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
    found: dict[str, Any] = {"pattern": actions[-1].pattern, "share": zeros / of}
    for name in ("float", "int8"):
        if name in inputs and not missing:
            written = inputs[name].summary
            # A weight that the file has no need of takes its zeros with it.
            if written["zeros"] < zeros - max(0, of - written["weighed"]):
                missing = f"the {name} file has {written['zeros']} zeros in its weights, the network {zeros}"
            found[name] = written["zeros"] / max(1, written["weighed"])
    if missing:
        raise CheckFailed(
            f"Zeros were lost: {missing}",
            where="check",
            remedy="please report this, with the recipe: zeros are held through training and export",
        )
    return found


def _smaller(made: Input, origin: Input, what: str, keys: tuple[str, ...]) -> None:
    """What was shrunk must be smaller in the file: no weight may have grown, and `keys` must have fallen."""
    for key in keys:
        if made.summary[key] >= origin.summary[key]:
            noun = {"download": "bytes to download"}.get(key, key)
            raise NotSmaller(
                f"The {what} file has {made.summary[key]} {noun}, what it came from has {origin.summary[key]}",
                where="check",
                remedy="shrink more, or leave this variant out of the recipe",
            )
    before, after = origin.summary.get("weights", {}), made.summary.get("weights", {})
    for name, shape in after.items():
        same_rank = len(before.get(name, ())) == len(shape)
        if same_rank and any(now > then for now, then in zip(shape, before[name], strict=True)):
            raise NotSmaller(
                f"The weight of {name!r} grew from {before[name]} to {shape}",
                where="check",
                remedy="please report this",
            )


def _sentence(figures: Mapping[str, Any]) -> str:
    if "agreement" in figures:
        agreement = f"{figures['agreement']:.1%}".replace("%", " %")
        return f"INT8 agrees on {agreement} of {figures['samples']} samples, {figures['sqnr_db']:.1f} dB"
    return f"float export within {figures['float_difference']:.1e} of torch on {figures['samples']} samples"
