"""Which ranges: every method's INT8 file is measured on samples that it has not seen, and the best one is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.export.drift import sqnr
from pipeline.quantization.form import Form
from pipeline.quantization.ranges import Ranges, Seen, entropy, extremes, minmax, observed, percentile
from pipeline.quantization.samples import parted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

TIE = 0.3
"""dB: what another method must be better by than min and max, which clips nothing."""
PERCENTILES = (99.9, 99.99, 99.999)
METHODS: Mapping[str, Callable[[Mapping[str, Seen]], Ranges]] = {
    "minmax": minmax,
    **{f"percentile {share}": partial(percentile, share=share) for share in PERCENTILES},
    "entropy": entropy,
}


@dataclass(frozen=True)
class Choice:
    """The method that was taken, its ranges over all samples, and every candidate's SQNR in dB on the held-out ones."""

    method: str
    ranges: Ranges
    candidates: dict[str, float]


def chosen(form: Form[Any], x: Array, calibration: str) -> Choice:
    """The ranges that `calibration` asks for, from the samples `x` [N, ...].

    "auto": the best of all METHODS; "percentile": the best of three; "minmax", "entropy": that one. A method is judged
    with ranges from three quarters of the samples by the SQNR of the outputs on the fourth; what ships has ranges from
    all of them.
    """
    names = [name for name in METHODS if calibration in ("auto", name.partition(" ")[0])]
    fit, held = (x[part] for part in parted(len(x)))
    reference = form.outputs(None, held)
    if names == ["minmax"]:
        seen = [extremes(form.activations(part)) for part in (fit, held)]
        measured = {"minmax": sqnr(reference, form.outputs(form.quantised(seen[0]), held))}
        return Choice("minmax", _union(*seen), measured)
    of_fit, of_held = observed(form.activations, [fit, held])
    tried: dict[tuple[tuple[str, tuple[float, float]], ...], float] = {}
    measured = {}
    for name in names:
        ranges = METHODS[name](of_fit)
        key = tuple(sorted(ranges.items()))
        if key not in tried:  # where nothing is cut, percentiles are min and max
            tried[key] = sqnr(reference, form.outputs(form.quantised(ranges), held))
        measured[name] = tried[key]
    best = max(measured, key=lambda name: measured[name])
    if "minmax" in measured and measured[best] <= measured["minmax"] + TIE:
        best = "minmax"
    whole = {name: one + of_held[name] for name, one in of_fit.items()} if fit is not held else of_fit
    return Choice(best, METHODS[best](whole), measured)


def _union(one: Ranges, other: Ranges) -> Ranges:
    return {name: (min(one[name][0], other[name][0]), max(one[name][1], other[name][1])) for name in one}
