"""What a loader's arrays become: floats to calculate with, or token numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.data.parts import NAMES, BadData, to_parts


def given(x: Any, **changes: Any) -> dict[str, Any]:
    return {**{name: (x, np.arange(len(x)) % 2) for name in NAMES}, **changes}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.int64, np.int64), (np.int32, np.int64), (np.uint8, np.float32), (np.float64, np.float32), (bool, np.float32)],
)
def test_to_parts_keeps_tokens_whole_and_makes_the_rest_float32(dtype: Any, expected: Any) -> None:
    x = np.ones((4, 3), dtype)
    assert to_parts(given(x), "test").train.x.dtype == expected


def test_to_parts_refuses_tokens_below_zero() -> None:
    with pytest.raises(BadData, match="token numbers below 0"):
        to_parts(given(np.array([[1, 2], [3, -1]])), "test")


def test_to_parts_refuses_parts_of_two_types() -> None:
    x = np.ones((4, 3), np.int64)
    with pytest.raises(BadData, match=r"'test' have the shape \[3\] \(float32\), those of 'train' \[3\] \(int64\)"):
        to_parts(given(x, test=(x.astype(np.float32), np.zeros(4, np.int64))), "test")
