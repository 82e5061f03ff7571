"""What holds for every step: a plain function of files and parameters, the same anywhere, honest about libraries."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgewright.files import canonical_json
from pipeline.steps.base import Step
from pipeline.steps.registry import NAMES, source_file, step_class
from tests.pipeline.conftest import RECIPE, Built, builder_of, plan_of
from tests.pipeline.steps import replay
from tests.prerequisites import require

# Beside the small recipe: zeros, a ticket that goes back to the early checkpoint, and networks made ready for INT8.
TICKET = "[[shrink]]\nname = 'ticket'\nsparsity = 0.5\nrewind = 'early'\n"
READY = "[quantise]\nequalise = true\nqat_epochs = 1\n"
TARGET = str(Path(__file__).resolve().parents[2] / "every.toml")
# The one with the most inputs of each kind.
NODES = {
    "samples": "shared/samples", "train": "trained/train", "prune": "pruned/prune",
    "sparsify": "ticket/sparsify", "rewind": "ticket/rewind", "distil": "pruned/distil",
    "export": "pruned/export", "quantise": "pruned+int8/quantise", "check": "pruned+int8/check",
    "equalise": "pruned/equalise", "qat": "pruned/qat", "reduce": "pruned+dynamic/quantise",
    "ort": "pruned+int8/ort", "bundle": "pruned+int8/bundle",
    "torch_export": "pruned@torch/export", "torch_check": "pruned@torch/check",
    "tflite_export": "pruned@litert/export", "tflite_quantise": "pruned+int8@litert/quantise",
    "tflite_check": "pruned+int8@litert/check",
}  # fmt: skip
LITE = [name for name in NAMES if name.startswith("tflite")]
# Whatever they do, no result depends on it: one reads parameters, one comes with the data set's own digest.
ELSEWHERE = {"pydantic", "scikit-learn"}


# Converting to TFLite takes longer than all the rest, and needs what is not in the base install.
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in LITE else name for name in NAMES]


@dataclass(frozen=True)
class Group:
    """Nodes of some steps, built over a copy of the small recipe's store, and what their replay told."""

    built: Built
    told: dict[str, Any]


@pytest.fixture(scope="session")
def group_of(built: Built, tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Callable[[str], Group]:
    """By a step's name, the group that it is in; each is built once."""

    @functools.cache
    def made(lite: bool) -> Group:
        if lite:
            require(importlib.util.find_spec("litert_torch"), "litert-torch is not installed: pip install '.[tflite]'")
        nodes = [node for name, node in NODES.items() if (name in LITE) == lite]
        folder = tmp_path_factory.mktemp("every")
        shutil.copytree(built.store.folder, folder / "store")
        plan = plan_of(RECIPE + TICKET + READY, folder / "recipe", TARGET)
        builder = builder_of(plan, folder)
        every = Built(plan, builder.store, builder.places, builder.build(plan, nodes))
        return Group(every, _replayed(every, nodes, tmp_path_factory.mktemp("replay"), project_root))

    return lambda name: made(name in LITE)


@pytest.fixture
def every(name: str, group_of: Callable[[str], Group]) -> Built:
    return group_of(name).built


@pytest.fixture
def told(name: str, group_of: Callable[[str], Group]) -> dict[str, Any]:
    return group_of(name).told


def _replayed(every: Built, nodes: list[str], folder: Path, project_root: Path) -> dict[str, Any]:
    """Every step once more: another process, working folder, hash seed and home; only the inputs are the same."""
    (folder / "cwd").mkdir()
    done = subprocess.run(
        [
            sys.executable, replay.__file__, str(every.plan.recipe.folder / "small.toml"), TARGET,
            str(every.store.folder), str(folder / "out"), *nodes,
        ],
        cwd=folder / "cwd",
        env={
            "PYTHONPATH": str(project_root), "PYTHONHASHSEED": "123", "HOME": str(folder), "PATH": os.environ["PATH"],
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["cwd"] = [path.name for path in (folder / "cwd").iterdir()]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_step_is_found_by_its_name(name: str) -> None:
    step = step_class(name)
    assert issubclass(step, Step)
    assert step.name == name
    assert source_file(name).is_file()
    assert step.__doc__


@pytest.mark.parametrize("name", CASES)
def test_step_refuses_a_parameter_that_it_does_not_know(name: str, every: Built) -> None:
    parameters = dict(every.plan.nodes[NODES[name]].parameters)
    assert step_class(name).Parameters.model_validate(parameters).model_dump(mode="json") == parameters
    with pytest.raises(ValidationError):
        step_class(name).Parameters.model_validate({**parameters, "unheard_of": 1})


@pytest.mark.parametrize("name", CASES)
def test_step_gives_a_summary_of_json_values_with_a_figure(name: str, every: Built) -> None:
    summary = every.artifact(NODES[name]).summary
    assert json.loads(canonical_json(summary)) == summary
    assert isinstance(summary["figure"], str)
    assert "\n" not in summary["figure"]


@pytest.mark.parametrize("name", CASES)
def test_step_in_another_process_leaves_the_same_bytes_and_figures(
    name: str, every: Built, told: dict[str, Any]
) -> None:
    artifact = every.artifact(NODES[name])
    assert told[NODES[name]]["files"] == {file: entry["sha256"] for file, entry in artifact.files.items()}
    assert told[NODES[name]]["summary"] == artifact.summary
    assert artifact.files


@pytest.mark.parametrize("name", CASES)
def test_step_writes_only_where_it_is_told(name: str, every: Built, told: dict[str, Any]) -> None:
    allowed = {"out", "checkpoint.safetensors", "kept-1.safetensors"} | ({"bundle"} if name == "bundle" else set())
    assert set(told[NODES[name]]["beside"]) <= allowed
    assert told["cwd"] == []
    assert every.store.broken() == []  # its inputs are as they were
    names = {path.name for path in every.places.recipe.iterdir()} - {"__pycache__", "own_metric.py"}
    assert names == {"small.toml"}


@pytest.mark.parametrize("name", CASES)
def test_step_names_the_libraries_that_do_its_work(name: str, told: dict[str, Any]) -> None:
    named = set(step_class(name).libraries)
    assert set(told[NODES[name]]["imported"]) - ELSEWHERE <= named
    assert named <= set(told[NODES[name]]["loaded"])


def test_registry_names_every_step_file(project_root: Path) -> None:
    files = {path.stem for path in (project_root / "pipeline" / "steps").glob("*.py")}
    assert files - {"__init__", "base", "checking", "registry"} == set(NAMES)
