"""The evaluation set: the test part whole, readable without pickles."""

from __future__ import annotations

import numpy as np

from pipeline import data
from pipeline.steps.base import DataSpec
from pipeline.steps.samples import FILE
from tests.pipeline.conftest import Built


def test_samples_are_the_test_part_and_none_that_was_chosen_by(built: Built) -> None:
    parts = data.load(DataSpec(name="digits"), built.places)
    with np.load(built.artifact("shared/samples").path(FILE), allow_pickle=False) as file:
        assert sorted(file.files) == ["x", "y"]
        assert (file["x"] == parts.test.x).all()
        assert (file["y"] == parts.test.y).all()
    assert built.artifact("shared/samples").summary["samples"] == len(parts.test) == 360
