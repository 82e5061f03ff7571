"""Metrics: top-1 by hand, a function of the user's own, and one that misbehaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.locate import NotFound
from pipeline.metrics import metric, top1

OUTPUTS = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
TARGETS = np.array([1, 0, 0, 0])


def test_top1_is_the_share_that_is_right() -> None:
    assert top1(OUTPUTS, TARGETS) == 0.75
    assert metric("top-1", Path())(OUTPUTS, TARGETS) == 0.75


def test_own_metric_is_found_beside_the_recipe_and_gives_a_float(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def worst(outputs, targets):\n    return outputs.min()\n")
    value = metric("own.py:worst", tmp_path)(OUTPUTS, TARGETS)
    assert value == pytest.approx(0.1)
    assert type(value) is float


@pytest.mark.parametrize(
    ("body", "says"), [("1 / 0", "ZeroDivisionError"), ("return 'much'", "ValueError"), ("return None", "TypeError")]
)
def test_own_metric_that_misbehaves_is_named(tmp_path: Path, body: str, says: str) -> None:
    (tmp_path / "own.py").write_text(f"def bad(outputs, targets):\n    {body}\n")
    with pytest.raises(NotFound, match=says) as caught:
        metric("own.py:bad", tmp_path)(OUTPUTS, TARGETS)
    assert "metric.name = 'own.py:bad'" in caught.value.where
