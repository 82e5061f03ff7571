"""Whether a file answers on a device as it did on this machine, where it was checked against the network (rule 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.export.drift import sqnr, worst_difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

AGREEMENT, SQNR_DB = 0.98, 30.0
"""What a partly quantised net must reach: a rounding that tips on one machine moves single values, not the whole."""


TIES = 2
"""Steps of the output that one runtime moves between processors: its integer additions multiply in float, and a tie in
EfficientNet-Lite0 was rounded another way on ARM (2 of 8 samples, onnxruntime 1.31)."""


@dataclass(frozen=True)
class Parity:
    """samples: how many were compared; worst: largest |difference| as a share of the expected outputs' spread.

    lsb: the same in steps of the output's quantisation, None where it has none; agreement: share of the same top-1 (1
    where there is one value a sample); sqnr_db: see drift.sqnr. same: whether that will do. worst and sqnr_db are None
    where not all answers are numbers, or they have another shape.
    """

    samples: int
    worst: float | None
    lsb: float | None
    agreement: float
    same: bool
    sqnr_db: float | None = None


def compare_outputs(
    expected: Array,
    found: Array,
    exact: bool,
    scale: float | None,
    same_runtime: bool,
    bound: float,
    quantised: bool | None = None,
    own_sqnr_db: float | None = None,
) -> Parity:
    """Compares what a device answered (`found`) with what this machine did (`expected`), both float32 [K, ...].

    exact: the file computes in integers throughout, by kernels of a CPU; scale: the output's step; both as the check
    step says in `parity`. The same is then: to the bit within one runtime (but for TIES), 1 step across runtimes. For a
    file that is quantised in part (`quantised`; None: where it has a scale), and in integers where steps add up over
    many layers (tflite-runtime departs from LiteRT by 1 to 6 of them), AGREEMENT and SQNR_DB will do, or the file's own
    distance from its float one (`own_sqnr_db`) where that is less: two roundings of one number may lie as far apart as
    either lies from it. Else `bound` of the spread.
    """
    import numpy as np

    samples = min(len(expected), len(found))
    if expected.shape != found.shape or not samples or not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return Parity(samples, None, None, 0.0, False)
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    largest = float(np.abs(expected - found).max())
    worst, noise = worst_difference(expected, found), sqnr(expected, found)
    lsb = largest / scale if scale else None
    agreement = 1.0
    if expected.ndim > 1 and expected.shape[-1] > 1:
        agreement = float((expected.argmax(-1) == found.argmax(-1)).mean())
    close = agreement >= AGREEMENT and noise >= min(SQNR_DB, own_sqnr_db if own_sqnr_db is not None else SQNR_DB)
    if exact:
        # Dequantised numbers are a multiple of the step, but for float32's own rounding.
        if same_runtime:
            same = largest == 0 or (lsb is not None and (lsb < 0.5 or (lsb <= TIES + 0.01 and close)))
        else:
            same = close or (lsb is not None and lsb <= 1.01)
    else:
        in_part = scale is not None if quantised is None else quantised
        same = worst <= bound or (in_part and close)
    return Parity(samples, worst, lsb, agreement, same, noise)


def sentence(parity: Parity) -> str:
    """Said to a person: "the same answers as on this machine (64 samples, INT8 to the bit)"."""
    many = f"{parity.samples} sample{'s' if parity.samples != 1 else ''}"
    if parity.worst is None or parity.sqnr_db is None:
        return f"{many}: not all of its answers are numbers, or they have another shape"
    if parity.worst == 0 or (parity.lsb is not None and parity.lsb < 0.5):
        how = f"{'INT8 ' if parity.lsb is not None else ''}to the bit"
    elif parity.lsb is not None and parity.lsb <= 1.01:
        how = "INT8 to one step of the output"
    elif parity.same and parity.sqnr_db > 80:
        how = f"within {parity.worst:.1e} of their spread"
    else:
        how = f"{parity.agreement:.1%} of the same class, {parity.sqnr_db:.1f} dB".replace("%", " %")
    if parity.same:
        return f"the same answers as on this machine ({many}, {how})"
    return f"{many}, {how}, off by up to {parity.worst:.2g} of their spread"
