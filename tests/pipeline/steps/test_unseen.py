"""What makes INT8 learns nothing from the samples that judge it in the end: the test part is not even touched."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline import data
from pipeline.steps.equalise import Equalise
from pipeline.steps.qat import Qat
from pipeline.steps.quantise import Quantise
from pipeline.steps.reduce import Reduce
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import run_step


class _Untouchable:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test part was asked for its {name}")


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    really = data.load
    monkeypatch.setattr(
        data,
        "load",
        lambda *given: dataclasses.replace(really(*given), test=_Untouchable()),  # type: ignore[arg-type]
    )


@pytest.mark.usefixtures("unseen")
def test_static_and_dynamic_int8_are_made_without_the_test_part(built: Built, tmp_path: Path) -> None:
    parameters = built.plan.nodes["int8/quantise"].parameters
    inputs = built.inputs("int8/quantise")
    plain = {"calibration": "minmax", "samples": 16}
    assert run_step(Quantise, {**parameters, **plain}, inputs, tmp_path / "static", built.places).summary["bytes"]
    reduced = {"data": parameters["data"], "precision": "dynamic"}
    assert run_step(Reduce, reduced, inputs, tmp_path / "dynamic", built.places).summary["bytes"]


@pytest.mark.usefixtures("unseen")
def test_networks_are_made_ready_for_int8_without_the_test_part(built: Built, tmp_path: Path) -> None:
    inputs = {"model": built.artifact("trained/train")}
    distil = built.plan.nodes["pruned/distil"].parameters
    shared = {"network": distil["network"], "data": distil["data"], "samples": 16}
    assert "kept" in run_step(Equalise, shared, inputs, tmp_path / "equalise", built.places).summary
    told = {key: distil[key] for key in ("metric", "temperature", "distillation", "schedule")}
    parameters = {**shared, **told, "metric_drop": 1.0, "teacher": None}
    assert run_step(Qat, parameters, inputs, tmp_path / "qat", built.places).summary["history"] == []
