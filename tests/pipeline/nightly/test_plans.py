"""What a night builds: a recipe's own variants, those of the newest search, or the trained network alone."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.nightly.plans import night_plan, searched
from pipeline.project import Project
from pipeline.recipe import read_recipe
from targets.schema import read_target
from tests.pipeline.conftest import ONNX, RECIPE

OPEN = RECIPE.partition("[[shrink]]")[0]


def outcome(*names: str, **fields: Any) -> dict[str, Any]:
    """A finished search that measured a network by each name."""
    candidates = [
        {"digest": "1" * 64, "shrink": {"name": name, "filters": 0.5}, "name": f"{name}{way}"}
        for name in names
        for way in ("", "+int8")
    ]
    others = [{"digest": None, "shrink": {"name": "unmeasured", "filters": 0.25}}, {"digest": "2" * 64, "shrink": {}}]
    told = {"schema": "edgewright-shrink/1", "model": "small", "target": "onnx", "stand_in": False}
    return told | {"candidates": candidates + others} | fields


def write(state: Path, name: str, content: object, second: int) -> None:
    path = state / "searches" / name / "found.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    os.utime(path, (second, second))


def test_search_gives_each_measured_network_once(state: Path) -> None:
    write(state, "a", outcome("first", "second"), 10)
    assert [one.name for one in searched(state, "small", "onnx")] == ["first", "second"]
    assert searched(state, "small", "other") == () == searched(state, "other", "onnx")


def test_newest_search_on_a_real_device_counts(state: Path) -> None:
    write(state, "a", outcome("old"), 10)
    write(state, "b", outcome("new"), 20)
    write(state, "c", outcome("stand-in", stand_in=True), 30)
    assert [one.name for one in searched(state, "small", "onnx")] == ["new"]


@pytest.mark.parametrize(
    "content",
    [
        [],
        None,
        {"schema": "edgewright-shrink/1"},
        outcome("x", candidates=[{"digest": "1", "shrink": {"name": "x", "odd": 1}}]),
        outcome("x", candidates=None),
        outcome("x", schema="edgewright-shrink/9"),
    ],
)
def test_what_cannot_be_read_any_more_is_no_search(content: object, state: Path) -> None:
    write(state, "a", content, 10)
    assert searched(state, "small", "onnx") == ()


@pytest.mark.parametrize(
    ("text", "found", "networks"),
    [(RECIPE, True, {"trained", "pruned"}), (OPEN, True, {"trained", "found"}), (OPEN, False, {"trained"})],
)
def test_plan_takes_the_recipe_s_own_before_a_search_s(
    text: str, found: bool, networks: set[str], tmp_path: Path, state: Path
) -> None:
    (tmp_path / "small.toml").write_text(text)
    if found:
        write(state, "a", outcome("found"), 10)
    project = dataclasses.replace(Project.here(), root=tmp_path, state=state)
    plan = night_plan(project, read_recipe(str(tmp_path / "small.toml"), tmp_path), read_target(ONNX, tmp_path))
    assert {one.name.partition("+")[0] for one in plan.variants} - {"int8"} == networks
