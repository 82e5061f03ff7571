"""What holds for every step: a plain function of files and parameters, the same anywhere, honest about libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgewright.files import canonical_json
from pipeline.steps.base import Step
from pipeline.steps.registry import NAMES, source_file, step_class
from tests.pipeline.conftest import RECIPE, Built, builder_of, plan_of
from tests.pipeline.steps import replay

# Beside the small recipe: zeros, and a ticket that goes back to the early checkpoint.
TICKET = "[[shrink]]\nname = 'ticket'\nsparsity = 0.5\nrewind = 'early'\n"
# The one with the most inputs of each kind.
NODES = {
    "samples": "shared/samples", "train": "trained/train", "prune": "pruned/prune",
    "sparsify": "ticket/sparsify", "rewind": "ticket/rewind", "distil": "pruned/distil",
    "export": "pruned/export", "quantise": "pruned+int8/quantise", "check": "pruned+int8/check",
    "bundle": "pruned+int8/bundle",
}  # fmt: skip
# Whatever they do, no result depends on it: one reads parameters, one comes with the data set's own digest.
ELSEWHERE = {"pydantic", "scikit-learn"}


@pytest.fixture(scope="session")
def every(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One node of each step, built over a copy of the small recipe's store."""
    folder = tmp_path_factory.mktemp("every")
    shutil.copytree(built.store.folder, folder / "store")
    plan = plan_of(RECIPE + TICKET, folder / "recipe")
    builder = builder_of(plan, folder)
    return Built(plan, builder.store, builder.places, builder.build(plan, list(NODES.values())))


@pytest.fixture(scope="session")
def told(every: Built, tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> dict[str, Any]:
    """Every step once more: another process, working folder, hash seed and home; only the inputs are the same."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "cwd").mkdir()
    done = subprocess.run(
        [
            sys.executable, replay.__file__, str(every.plan.recipe.folder / "small.toml"), str(every.store.folder),
            str(folder / "out"), *(NODES[name] for name in NAMES),
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


@pytest.mark.parametrize("name", NAMES)
def test_step_refuses_a_parameter_that_it_does_not_know(name: str, every: Built) -> None:
    parameters = dict(every.plan.nodes[NODES[name]].parameters)
    assert step_class(name).Parameters.model_validate(parameters).model_dump(mode="json") == parameters
    with pytest.raises(ValidationError):
        step_class(name).Parameters.model_validate({**parameters, "unheard_of": 1})


@pytest.mark.parametrize("name", NAMES)
def test_step_gives_a_summary_of_json_values_with_a_figure(name: str, every: Built) -> None:
    summary = every.artifact(NODES[name]).summary
    assert json.loads(canonical_json(summary)) == summary
    assert isinstance(summary["figure"], str)
    assert "\n" not in summary["figure"]


@pytest.mark.parametrize("name", NAMES)
def test_step_in_another_process_leaves_the_same_bytes_and_figures(
    name: str, every: Built, told: dict[str, Any]
) -> None:
    artifact = every.artifact(NODES[name])
    assert told[NODES[name]]["files"] == {file: entry["sha256"] for file, entry in artifact.files.items()}
    assert told[NODES[name]]["summary"] == artifact.summary
    assert artifact.files


@pytest.mark.parametrize("name", NAMES)
def test_step_writes_only_where_it_is_told(name: str, every: Built, told: dict[str, Any]) -> None:
    allowed = {"out", "checkpoint.safetensors", "kept-1.safetensors"} | ({"bundle"} if name == "bundle" else set())
    assert set(told[NODES[name]]["beside"]) <= allowed
    assert told["cwd"] == []
    assert every.store.broken() == []  # its inputs are as they were
    names = {path.name for path in every.places.recipe.iterdir()} - {"__pycache__", "own_metric.py"}
    assert names == {"small.toml"}


@pytest.mark.parametrize("name", NAMES)
def test_step_names_the_libraries_that_do_its_work(name: str, told: dict[str, Any]) -> None:
    named = set(step_class(name).libraries)
    assert set(told[NODES[name]]["imported"]) - ELSEWHERE <= named
    assert named <= set(told[NODES[name]]["loaded"])


def test_registry_names_every_step_file(project_root: Path) -> None:
    files = {path.stem for path in (project_root / "pipeline" / "steps").glob("*.py")}
    assert files - {"__init__", "base", "registry"} == set(NAMES)
