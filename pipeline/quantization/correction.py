"""Bias correction: what rounding adds to a layer's output on average is taken off its bias."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from pipeline.export.drift import sqnr
from pipeline.quantization.form import Form, Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SAMPLES = 64
"""What is averaged over: the mean of a channel needs no more, a picture has hundreds of positions."""


@dataclass(frozen=True)
class Corrected(Generic[Model]):
    """The INT8 file, the layers whose biases were shifted, and the SQNR of the outputs in dB before and after."""

    model: Model
    layers: tuple[str, ...]
    before: float
    after: float


def corrected(
    form: Form[Model], model: Model, fit: Array, held: Array, reference: Array, left: Collection[str] = ()
) -> Corrected[Model]:
    """The INT8 `model` without its layers' mean errors, where that brings the outputs nearer to float's.

    The empirical bias correction of Nagel et al., "Data-free quantization through weight equalization and bias
    correction", ICCV 2019: layer by layer in order, each measured behind corrected ones, over the first SAMPLES of
    `fit`. A shift stays if the outputs for `held` are nearer to `reference` (float's): of a channel with few distinct
    values (a picture's black border) rounding can make the mean error larger by it. Layers `left` in float, and those
    without a bias, stay as they are.
    """
    x = fit[:SAMPLES]
    layers = [layer for layer in form.correctable if layer not in left]
    wanted = _means(form, None, x, layers)
    before = best = sqnr(reference, form.outputs(model, held))
    kept = []
    for layer in layers:
        other = form.shifted(model, {layer: wanted[layer] - _means(form, model, x, [layer])[layer]})
        nearness = sqnr(reference, form.outputs(other, held))
        if nearness > best:
            model, best = other, nearness
            kept.append(layer)
    return Corrected(model, tuple(kept), before, best)


def _means(form: Form[Model], model: Model | None, x: Array, layers: Collection[str]) -> dict[str, Array]:
    """{layer: float64 [channels]}: the mean of what each layer gives; None is the float file."""
    import numpy as np

    sums: dict[str, Array] = {}
    for sample in form.layer_values(model, x, layers) if layers else ():
        for layer, values in sample.items():
            sums[layer] = sums.get(layer, 0) + values.mean(axis=0, dtype=np.float64)
    return {layer: total / len(x) for layer, total in sums.items()}
