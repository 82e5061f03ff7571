"""The calibration samples: checked before any work, and parted into those that set ranges and those that judge them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.quantization.refusal import BadCalibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

HELD_OUT = 4
"""Every fourth sample judges: a part that is sorted by class is sampled evenly."""
FEWEST = 8
"""With fewer samples than these, all of them do both."""


def checked(x: Array, shape: Sequence[int], dtype: str) -> Array:
    """`x` [N, ...] itself, where the file takes samples of `shape` (without the batch) and `dtype`.

    Raises BadCalibration: no samples, another shape or dtype, NaN or infinity.
    """
    import numpy as np

    if len(x) == 0:
        raise BadCalibration(
            "There are no calibration samples",
            where="the data's calibration part",
            remedy="have the data's loader give some (a few hundred do), or raise quantise.samples in the recipe",
        )
    if list(x.shape[1:]) != list(shape) or str(x.dtype) != dtype:
        raise BadCalibration(
            f"The model takes samples of {list(shape)} ({dtype}), calibration has {list(x.shape[1:])} ({x.dtype})",
            where="the data's calibration part",
            remedy="have the data's loader give calibration samples as the network takes them",
        )
    if np.issubdtype(x.dtype, np.floating):
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        if bad.size:
            more = f" (and {bad.size - 1} more)" if bad.size > 1 else ""
            raise BadCalibration(
                f"Calibration sample {bad[0]}{more} holds NaN or infinity",
                where="the data's calibration part",
                remedy="mend the data's loader, or leave such samples out",
            )
    return x


def parted(count: int) -> tuple[Array, Array]:
    """Which of `count` samples set the ranges and which are held out to judge them: int64 indices, in order."""
    import numpy as np

    every = np.arange(count)
    if count < FEWEST:
        return every, every
    held = every % HELD_OUT == HELD_OUT - 1
    return every[~held], every[held]
