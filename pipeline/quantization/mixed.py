"""Mixed precision: how much each layer's INT8 costs by itself, and the fewest of the worst left in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.export.drift import sqnr
from pipeline.quantization.form import Form, Model
from pipeline.quantization.ranges import Ranges
from pipeline.quantization.refusal import OutOfBounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SAMPLES = 64
"""Enough to rank layers: sensitivities lie dB apart."""


def sensitivity(form: Form[Any], ranges: Ranges, x: Array) -> dict[str, float]:
    """{layer: dB}: SQNR of the outputs where that layer alone has INT8 weights, over the first SAMPLES of `x`.

    What stands between the layers (sums, pooling) is INT8 each time: it is no layer's doing.
    """
    x = x[:SAMPLES]
    reference = form.outputs(None, x)
    found = {}
    for layer in form.layers:
        others = [one for one in form.layers if one != layer]
        found[layer] = sqnr(reference, form.outputs(form.quantised(ranges, others), x))
    return found


def fewest_left(
    form: Form[Model], ranges: Ranges, sensitivities: dict[str, float], holds: Callable[[Model], bool]
) -> list[str]:
    """The layers to leave in float, worst first: as few as make `holds` true of the INT8 file, by bisection.

    None left is known to fail. Raises OutOfBounds where nothing would be INT8.
    """
    worst = sorted(sensitivities, key=lambda layer: sensitivities[layer])
    fails, enough = 0, len(worst)
    while enough - fails > 1:
        middle = (fails + enough) // 2
        if holds(form.quantised(ranges, worst[:middle])):
            enough = middle
        else:
            fails = middle
    if enough == len(worst):
        raise OutOfBounds(
            f"INT8 breaks the recipe's bounds as long as any of the {_layers(worst)} is INT8",
            where=f"worst layer: {worst[0]} ({sensitivities[worst[0]]:.1f} dB by itself)" if worst else "quantise",
            remedy='leave "int8" out of the target\'s precisions for this model, or train with quantise.qat_epochs',
        )
    return worst[:enough]


def _layers(names: Sequence[str]) -> str:
    return "1 layer" if len(names) == 1 else f"{len(names)} layers"
