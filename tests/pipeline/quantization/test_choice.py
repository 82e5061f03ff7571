"""The choice of ranges: what is measured to be best wins, min and max wins ties, and only held-out samples judge."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.quantization.choice import METHODS, chosen
from pipeline.quantization.static import OnnxForm
from tests.pipeline.quantization import handmade

X = handmade.pictures(64)


@pytest.fixture(scope="module")
def form() -> OnnxForm:
    return OnnxForm(handmade.network(handmade.weights()), "uint8", True, False)


def _with_an_outlier() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    x = X.copy()
    x[0, 0, 0, 0] = 500  # not among those held out
    return x


def test_auto_keeps_min_and_max_where_nothing_is_better(form: OnnxForm) -> None:
    choice = chosen(form, X, "auto")
    assert choice.method == "minmax"
    assert list(choice.candidates) == list(METHODS)
    assert max(choice.candidates.values()) <= choice.candidates["minmax"] + 0.3


def test_auto_leaves_an_outlier_out(form: OnnxForm) -> None:
    choice = chosen(form, _with_an_outlier(), "auto")
    assert choice.method != "minmax"
    assert choice.candidates[choice.method] > choice.candidates["minmax"] + 6
    assert choice.ranges["input"][1] < 50


def test_entropy_is_not_min_and_max(form: OnnxForm) -> None:
    x = _with_an_outlier()
    entropy, minmax = (chosen(form, x, method) for method in ("entropy", "minmax"))
    assert entropy.ranges["input"][1] < minmax.ranges["input"][1] / 10
    assert entropy.candidates["entropy"] > minmax.candidates["minmax"] + 6


@pytest.mark.parametrize(("asked", "tried"), [("minmax", 1), ("percentile", 3), ("entropy", 1)])
def test_a_method_that_is_asked_for_is_taken(form: OnnxForm, asked: str, tried: int) -> None:
    choice = chosen(form, X, asked)
    assert choice.method.startswith(asked)
    assert len(choice.candidates) == tried
    assert choice.candidates[choice.method] == max(choice.candidates.values())


@pytest.mark.parametrize("asked", ["minmax", "auto"])
def test_what_ships_has_ranges_from_all_samples(form: OnnxForm, asked: str) -> None:
    x = X.copy()
    x[3, 0, 0, 0] = 5.5  # the fourth is held out
    assert chosen(form, x, asked).ranges["input"][1] == 5.5
