"""Proves an exported file against its network on real inputs, and that shrinking made it smaller: of any format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json
from pipeline import data, network
from pipeline.export.drift import sqnr, worst_difference
from pipeline.metrics import metric
from pipeline.pruning.plan import Cut, PruningPlan, Remove, Rows, Zeros
from pipeline.pruning.sparsity import lost
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from models.data.parts import Part

    Array = NDArray[Any]

FILE, EXPECTED = "check.json", "expected.npy"
DRIFT_SAMPLES = 32
PARITY = 64
SPOKEN = {"int8": "INT8", "float16": "FP16", "dynamic": "Dynamic range"}


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
    """precision: what `quantised` is in (int8, float16 or dynamic); float32 where only the float file is checked."""

    network: NetworkSpec
    data: DataSpec
    metric: str
    bounds: Limits
    precision: str


class CheckStep(Step[CheckParameters]):
    """From `network`, `float` (its export) and, if it is checked, `quantised`; `base` is the unpruned float export.

    Leaves check.json and expected.npy: float32 [K, ...], what the file that ships gives for the first PARITY samples
    of the test part, so that a device can prove that its answers are these. Raises CheckFailed, naming the layer, or
    NotSmaller. A subclass says how files of its format are run, and where they drift.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = CheckParameters

    def outputs(self, made: Input, x: Array) -> Array:
        """What an artifact's file gives for `x` [N, ...] (float32 or int64, channels first): float32 [N, ...]."""
        raise NotImplementedError

    def float_drift(self, net: nn.Module, exported: Input, x: Array, bound: float) -> str:
        """Says which layer of the float file is the first to depart from torch by more than `bound` of its spread."""
        raise NotImplementedError

    def quantised_drift(self, inputs: Mapping[str, Input], x: Array) -> str:
        """Says which layer of inputs["quantised"] is the first to depart from inputs["float"]."""
        raise NotImplementedError

    def exact(self, made: Input) -> bool:
        """Whether the file computes in integers throughout, so that a runtime gives the same on every machine."""
        return False

    def output_scale(self, made: Input) -> float | None:
        """The step of the output's values where the last operator is a dequantise, else None."""
        return None

    def run(self, inputs: Mapping[str, Input], parameters: CheckParameters, work: Work) -> dict[str, Any]:
        import torch

        from pipeline.distillation import logits_of

        parts = data.load(parameters.data, work.places)
        # On validation: the test part is looked at once, on the device.
        part = parts.validation.first(parameters.bounds.samples)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["network"])
        torch.set_num_threads(1)
        reference = logits_of(net, torch.from_numpy(part.x)).numpy()
        judge = metric(parameters.metric, work.places.recipe)
        figures: dict[str, Any] = {"samples": len(part), "metric_torch": judge(reference, part.y)}
        if "base" in inputs:
            _shrunk(plan, inputs["float"], inputs["base"])
        exported = self._float(net, inputs["float"], reference, part, parameters, figures)
        figures["metric_float"] = judge(exported, part.y)
        if "quantised" in inputs:
            _smaller(inputs["quantised"], inputs["float"], parameters.precision, ("bytes",))
            self._quantised(inputs, exported, part, parameters, figures, judge)
        if sparsity := _sparsity(net, plan, inputs, parameters.precision):
            figures["sparsity"] = sparsity
        if (bits := inputs["network"].summary.get("weight_bits")) is not None:
            figures["weight_bits"] = bits
        # Its samples, never its labels: what is compared with the device is the answers, not how good they are.
        figures["parity"] = self._parity(inputs.get("quantised", inputs["float"]), parts.test.first(PARITY).x, work)
        (work.out / FILE).write_bytes(pretty_json(figures))
        return {**figures, "figure": _sentence(figures, parameters.precision)}

    def _float(
        self,
        net: nn.Module,
        exported: Input,
        reference: Array,
        part: Part,
        parameters: CheckParameters,
        figures: dict[str, Any],
    ) -> Array:
        outputs = self.outputs(exported, part.x)
        difference = worst_difference(reference, outputs)
        figures["float_difference"] = difference
        bound = parameters.bounds.float_difference
        if not difference <= bound:
            raise CheckFailed(
                f"The float export departs from torch by {difference:.2g} of the outputs' spread, {bound:g} is allowed",
                where=self.float_drift(net, exported, part.x, bound),
                remedy="look at that layer's export; check.float_difference in the recipe is the bound",
            )
        return outputs

    def _quantised(
        self,
        inputs: Mapping[str, Input],
        exported: Array,
        part: Part,
        parameters: CheckParameters,
        figures: dict[str, Any],
        judge: Any,
    ) -> None:
        precision, bounds, trouble = parameters.precision, parameters.bounds, ""
        outputs = self.outputs(inputs["quantised"], part.x)
        figures[f"metric_{precision}"] = judge(outputs, part.y)
        figures["sqnr_db"] = sqnr(exported, outputs)
        figures["agreement"] = float((outputs.argmax(-1) == exported.argmax(-1)).mean())
        fall = figures["metric_float"] - figures[f"metric_{precision}"]
        if not fall <= bounds.metric_drop:
            trouble = f"loses {fall:.3f} of the metric, {bounds.metric_drop:g} is allowed"
        elif parameters.metric == "top-1" and figures["agreement"] < bounds.agreement:
            trouble = f"agrees with float on {figures['agreement']:.1%} of the samples, {bounds.agreement:.1%} is asked"
        if trouble:
            more = "give more calibration samples, or " if precision == "int8" else ""
            raise CheckFailed(
                f"{SPOKEN[precision]} {trouble}",
                where=self.quantised_drift(inputs, part.x[:DRIFT_SAMPLES]),
                remedy=f"{more}leave {precision} out of the target's precisions; "
                "the bounds are under check in the recipe",
            )

    def _parity(self, shipped: Input, x: Array, work: Work) -> dict[str, Any]:
        import numpy as np

        expected = self.outputs(shipped, x).astype(np.float32)
        np.save(work.out / EXPECTED, expected)
        return {"samples": len(expected), "exact": self.exact(shipped), "scale": self.output_scale(shipped)}


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


def _sparsity(net: nn.Module, plan: PruningPlan, inputs: Mapping[str, Input], precision: str) -> dict[str, Any]:
    """Pattern, share of zeros in the held weights, and in all of a file's ("float" and the precision); {}: none held.

    Raises CheckFailed where promised zeros are not in the network, or not in a file.
    """
    actions = [action for action in plan.actions if isinstance(action, Zeros)]
    if not actions:
        return {}
    missing = lost(net, actions)
    weights = [net.get_parameter(name) for name in plan.zeroed]
    zeros, of = sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
    found: dict[str, Any] = {"pattern": actions[-1].pattern, "share": zeros / of}
    for name, role in (("float", "float"), (precision, "quantised")):
        if role in inputs and not missing:
            written = inputs[role].summary
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


def _sentence(figures: Mapping[str, Any], precision: str) -> str:
    if "agreement" in figures:
        agreement = f"{figures['agreement']:.1%}".replace("%", " %")
        return f"{SPOKEN[precision]} agrees on {agreement} of {figures['samples']} samples, {figures['sqnr_db']:.1f} dB"
    return f"float export within {figures['float_difference']:.1e} of torch on {figures['samples']} samples"
