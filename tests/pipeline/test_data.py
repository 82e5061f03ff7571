"""Data sets as steps get them: ours or a user's own, checked before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.parts import BadData, DataParts, to_parts
from pipeline import data
from pipeline.locate import NotFound
from pipeline.steps.base import DataSpec, Places

LOADER = """\
import numpy as np

def load(count=40, classes=3):
    random = np.random.default_rng(0)
    x = random.random((count, 1, 8, 8))
    y = np.arange(count) % classes
    part = x, y
    return {"train": part, "validation": part, "test": part, "calibration": (x[:8], y[:8]), "labels": "abc"}
"""


def _pair(count: int = 6, classes: int = 3) -> tuple[Any, Any]:
    return np.ones((count, 1, 2, 2), np.float32), np.arange(count) % classes


def _mapping(**changed: Any) -> dict[str, Any]:
    return {name: _pair() for name in ("train", "validation", "test", "calibration")} | changed


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "own.py").write_text(LOADER)
    return Places(tmp_path, tmp_path / "cache")


def test_load_digits_has_the_documented_parts(places: Places) -> None:
    parts = data.load(DataSpec(name="digits"), places)
    assert [len(getattr(parts, name)) for name in ("train", "validation", "test", "calibration")] == [
        1237, 200, 360, 200,
    ]  # fmt: skip
    assert [str(parts.train.x.dtype), str(parts.train.y.dtype)] == ["float32", "int64"]
    assert parts.train.x.shape[1:] == (1, 8, 8)
    assert (parts.train.x.min(), parts.train.x.max()) == (0.0, 1.0)
    rows = [{row.tobytes() for row in getattr(parts, name).x} for name in ("train", "validation", "test")]
    assert len(rows[0] & rows[2]) <= 2  # scikit-learn's set holds a few equal pictures
    assert len(rows[0] & rows[1]) <= 2


def test_load_own_loader_with_arguments_becomes_float32_and_int64(places: Places) -> None:
    parts = data.load(DataSpec(name="own.py:load", arguments={"count": 20}), places)
    assert isinstance(parts, DataParts)
    assert (len(parts.train), len(parts.calibration), parts.labels) == (20, 8, ("a", "b", "c"))
    assert [str(parts.train.x.dtype), str(parts.train.y.dtype)] == ["float32", "int64"]


@pytest.mark.parametrize("name", ["own.py:load", "digits"])
def test_load_with_arguments_that_the_loader_lacks_names_them(places: Places, name: str) -> None:
    with pytest.raises(NotFound, match="TypeError") as caught:
        data.load(DataSpec(name=name, arguments={"colour": 3}), places)
    assert f"data = {name!r}" in caught.value.where
    assert "colour=3" in caught.value.where


@pytest.mark.parametrize(
    ("loaded", "says"),
    [
        ([1, 2], "returned list"),
        (None, "returned NoneType"),
        ({"train": _pair(), "test": _pair()}, "lacks validation, calibration"),
        (_mapping(test=3), "'test' is no (x, y) pair"),
        (_mapping(test=(["a"], [1])), "'test' is no (x, y) pair"),
        (_mapping(test=(np.ones((3, 4)), np.arange(2))), "'test' has 3 inputs and 2 labels"),
        (_mapping(calibration=(np.ones((0, 1, 2, 2)), np.arange(0))), "'calibration' has 0 inputs"),
        (_mapping(train=(np.full((6, 1, 2, 2), np.nan), np.arange(6))), "'train' hold NaN"),
        (_mapping(validation=(np.full((6, 1, 2, 2), np.inf), np.arange(6))), "'validation' hold NaN or infinity"),
        (_mapping(calibration=(np.ones((6, 1, 3, 3)), np.arange(6))), "'calibration' have the shape [1, 3, 3]"),
        (_mapping(test=(np.ones((6, 4)), np.arange(6))), "'test' have the shape [4]"),
    ],
)
def test_to_parts_of_what_is_no_data_set_says_why(loaded: Any, says: str) -> None:
    with pytest.raises(BadData) as caught:
        to_parts(loaded, "data = 'own.py:load'")
    assert says in caught.value.what
    assert caught.value.where == "data = 'own.py:load'"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.arange(6) % 4, "run from 0 to 3, the network has 3 outputs"),
        (np.arange(6) % 3 - 1, "run from -1 to 1"),
        (np.zeros(6, np.int64), "only one class"),
        (np.ones(6) * 0.5, "not class numbers"),
        (np.arange(6)[:, None] % 3, "have the shape [6, 1]"),
    ],
)
def test_check_labels_refuses_what_the_network_has_no_output_for(labels: Any, says: str) -> None:
    parts = to_parts(_mapping(train=(_pair()[0], labels)), "here")
    with pytest.raises(BadData) as caught:
        data.check_labels(parts, 3, "here")
    assert says in caught.value.what
    assert caught.value.remedy


def test_check_labels_passes_good_ones_and_looks_at_every_part() -> None:
    data.check_labels(to_parts(_mapping(), "here"), 3, "here")
    with pytest.raises(BadData, match="'test'"):
        data.check_labels(to_parts(_mapping(test=_pair(6, 5)), "here"), 3, "here")


def test_digest_of_an_own_loader_is_its_code(places: Places) -> None:
    before = data.digest(DataSpec(name="own.py:load"), places.recipe)
    assert set(before["code"]) == {"own.py"}
