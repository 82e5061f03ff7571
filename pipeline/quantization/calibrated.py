"""The whole of static INT8, of any format: ranges by measured error, bias correction, mixed precision if need be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from pipeline.export.drift import sqnr
from pipeline.quantization.choice import chosen
from pipeline.quantization.correction import corrected
from pipeline.quantization.form import Form, Model
from pipeline.quantization.mixed import SAMPLES, fewest_left, sensitivity
from pipeline.quantization.samples import checked, parted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Metric = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Settings:
    """What a recipe asks of INT8; see pipeline.quantising.Quantise.

    calibration: auto, minmax, percentile or entropy. metric_drop, agreement: the recipe's bounds (agreement only where
    the metric is top-1, else None); mixed: leave layers in float until they hold.
    """

    calibration: str = "auto"
    bias_correction: bool = True
    mixed: bool = True
    metric_drop: float = 0.02
    agreement: float | None = 0.95


@dataclass(frozen=True)
class Quantised(Generic[Model]):
    """The INT8 file, and how it came to be: what quantisation.json holds."""

    model: Model
    report: dict[str, Any]


def quantised(form: Form[Model], x: Array, y: Array, settings: Settings, metric: Metric) -> Quantised[Model]:
    """INT8 of `form`'s float file with ranges from the samples `x` [N, ...], labels or targets `y` [N, ...].

    Raises NotQuantisable, BadCalibration.
    """
    return _Work(form, checked(x, form.shape, form.dtype), y, settings, metric).done()


class _Work(Generic[Model]):
    def __init__(self, form: Form[Model], x: Array, y: Array, settings: Settings, metric: Metric) -> None:
        self.form, self.x, self.y, self.settings, self.metric = form, x, y, settings, metric
        fit, held = parted(len(x))
        self.fit, self.held = x[fit], x[held]
        self.reference = form.outputs(None, x)
        self.held_reference = self.reference[held]
        self.in_float = metric(self.reference, y)

    def done(self) -> Quantised[Model]:
        form, settings = self.form, self.settings
        choice = chosen(form, self.x, settings.calibration)
        model, correction, bounds = self._corrected(form.quantised(choice.ranges))
        left, alone = [], {}
        if settings.mixed and not bounds["hold"]:
            alone = sensitivity(form, choice.ranges, self.held)
            left = fewest_left(form, choice.ranges, alone, lambda one: self._bounds(one)["hold"])
            model, correction, bounds = self._corrected(form.quantised(choice.ranges, left), left)
        outputs = self._outputs_db(model, left)
        report = {
            "method": choice.method,
            "samples": len(self.x),
            "held_out": len(self.held),
            "candidates": [{"method": name, "sqnr_db": _db(value)} for name, value in choice.candidates.items()],
            "bias_correction": correction,
            "sqnr_db": _db(sqnr(self.held_reference, form.outputs(model, self.held))),
            "bounds": bounds,
            "layers": [
                {
                    "name": layer,
                    "float": layer in left,
                    "output_db": _db(outputs[layer]),
                    **({"alone_db": _db(alone[layer])} if alone else {}),
                }
                for layer in form.layers
            ],
        }
        return Quantised(model, report)

    def _corrected(self, model: Model, left: Sequence[str] = ()) -> tuple[Model, dict[str, Any] | None, dict[str, Any]]:
        """The model with its biases corrected where that is better on the held-out samples, what it brought, and the
        bounds; one that holds them only without is left as it was."""
        if not self.settings.bias_correction:
            return model, None, self._bounds(model)
        made = corrected(self.form, model, self.fit, self.held, self.held_reference, left)
        told = {"layers": list(made.layers), "before_db": _db(made.before), "after_db": _db(made.after)}
        bounds = self._bounds(made.model)
        if made.layers and not bounds["hold"] and (plain := self._bounds(model))["hold"]:
            return model, {**told, "layers": [], "after_db": told["before_db"]}, plain
        return made.model, told, bounds

    def _bounds(self, model: Model) -> dict[str, Any]:
        """The recipe's bounds and what the file does, on all the samples: those held out are too few for a percent.

        Eight-bit ranges can't learn samples by heart; the check step looks at the validation part afterwards. It alone
        can tell where the metric of the float file is no number here: labels that stand for none, say.
        """
        outputs, settings = self.form.outputs(model, self.x), self.settings
        found, hold = {"metric_drop_allowed": settings.metric_drop}, True
        if math.isfinite(self.in_float):
            found["metric_drop"] = self.in_float - self.metric(outputs, self.y)
            hold = found["metric_drop"] <= settings.metric_drop
        if settings.agreement is not None:
            found["agreement"] = float((outputs.argmax(-1) == self.reference.argmax(-1)).mean())
            found["agreement_asked"] = settings.agreement
            hold = hold and found["agreement"] >= settings.agreement
        told = {name: round(value, 4) if math.isfinite(value) else None for name, value in found.items()}
        return {"hold": hold, **told}

    def _outputs_db(self, model: Model, left: Sequence[str]) -> dict[str, float]:
        """SQNR of every layer's own output in the INT8 file, dB: what the layers before it did is in it."""
        import numpy as np

        x, layers = self.held[:SAMPLES], self.form.layers
        power: dict[str, Array] = {}
        pairs = zip(self.form.layer_values(None, x, layers), self.form.layer_values(model, x, layers), strict=True)
        for reference, other in pairs:
            for layer in layers:
                one = reference[layer].astype(np.float64)
                both = np.array([np.square(one).sum(), np.square(one - other[layer]).sum()])
                power[layer] = power.get(layer, 0) + both
        return {layer: 10 * float(np.log10(max(s, 1e-30) / max(n, 1e-30))) for layer, (s, n) in power.items()}


def _db(value: float) -> float:
    return round(value, 2)
