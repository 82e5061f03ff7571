"""Calibration samples: refused with the reason before any work, and parted evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.quantization.refusal import BadCalibration, NotQuantisable
from pipeline.quantization.samples import checked, parted

GOOD = np.zeros((16, 1, 8, 8), np.float32)


def _with(value: float, *rows: int) -> Any:
    x = GOOD.copy()
    x[list(rows), 0, 3, 3] = value
    return x


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (GOOD[:0], "There are no calibration samples"),
        (_with(np.nan, 5), "Calibration sample 5 holds NaN or infinity"),
        (_with(np.inf, 3, 7, 9), "Calibration sample 3 (and 2 more) holds NaN or infinity"),
        (GOOD[:, :, :7], "The model takes samples of [1, 8, 8] (float32), calibration has [1, 7, 8] (float32)"),
        (GOOD.astype(np.int64), "The model takes samples of [1, 8, 8] (float32), calibration has [1, 8, 8] (int64)"),
    ],
    ids=["none", "nan", "infinities", "shape", "dtype"],
)
def test_bad_samples_are_refused(x: Any, said: str) -> None:
    with pytest.raises(BadCalibration) as caught:
        checked(x, [1, 8, 8], "float32")
    assert caught.value.what == said
    assert caught.value.remedy
    assert isinstance(caught.value, NotQuantisable)


def test_good_samples_are_given_back() -> None:
    assert checked(GOOD, [1, 8, 8], "float32") is GOOD
    tokens = np.arange(12).reshape(3, 4)
    assert checked(tokens, [4], "int64") is tokens


def test_every_fourth_sample_is_held_out() -> None:
    fit, held = parted(16)
    assert held.tolist() == [3, 7, 11, 15]
    assert sorted([*fit, *held]) == list(range(16))


def test_few_samples_do_both() -> None:
    fit, held = parted(5)
    assert fit.tolist() == held.tolist() == list(range(5))
