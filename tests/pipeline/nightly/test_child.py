"""The building process: one answer a pair, also where a recipe's own code fails; a stored pair builds nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.nightly.child import Pair, answered
from pipeline.project import Project
from tests.pipeline.conftest import ONNX, RECIPE


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    return dataclasses.replace(Project.here(), root=tmp_path, state=state)


def pair(tmp_path: Path, text: str) -> Pair:
    (tmp_path / "small.toml").write_text(text)
    return Pair(model="small", target="onnx", recipe=str(tmp_path / "small.toml"), kind=ONNX)


def test_what_is_not_in_the_store_is_left_for_its_own_process(project: Project, tmp_path: Path) -> None:
    assert answered(project, pair(tmp_path, RECIPE), stored=True) is None
    assert not (project.state / "store" / "artifacts").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RECIPE.replace("resnet:resnet8", "nowhere:net"), "nowhere"),
        (RECIPE.replace("epochs = 6", 'epochs = "six"'), "epochs"),
        (RECIPE.replace('data = "digits"', 'data = "raises.py:load"'), "raises.py"),
    ],
)
def test_recipe_that_cannot_be_planned_is_answered_with_the_reason(
    text: str, said: str, project: Project, tmp_path: Path
) -> None:
    told = answered(project, pair(tmp_path, text), stored=True)
    assert told is not None and told.build.state == "failed" and told.variants == {}
    assert said in (told.build.problem or "") and told.build.remedy


@pytest.mark.slow
def test_pair_is_built_once_and_then_found(project: Project, tmp_path: Path) -> None:
    asked = pair(tmp_path, RECIPE)
    first = answered(project, asked, stored=False)
    assert first is not None and first.build.problem is None
    assert (first.build.state, list(first.variants)) == ("built", ["trained", "int8", "pruned", "pruned+int8"])
    assert first.samples is not None and first.samples.is_file()
    second = answered(project, asked, stored=True)
    assert second is not None
    assert (second.build.state, second.build.seconds, second.variants) == ("cached", 0.0, first.variants)
