"""What deploy builds where a recipe names no [[shrink]]: the search's own, unless it says that it wants none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.inventory import stand_in
from edgewright.progress import Silent
from pipeline.project import Project
from pipeline.recipe import Recipe, read_recipe
from pipeline.search import default
from pipeline.search.constraints import Constraints
from pipeline.search.found import Found
from pipeline.shrinking import Shrink
from targets.schema import read_target
from tests.pipeline.conftest import ONNX

HEAD = 'factory = "models.architectures.resnet:resnet8"\ndata = "digits"\n'
FOUND = Shrink(name="c01", remove=("blocks.0",))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the search was asked; it finds FOUND."""
    calls: list[tuple[Any, ...]] = []

    def run(project: Project, recipe: Recipe, *given: Any) -> Found:
        calls.append(given)
        return Found({}, recipe.model_copy(update={"shrink": (FOUND,)}))

    monkeypatch.setattr("pipeline.search.search.run", run)
    return calls


def _completed(text: str, folder: Path, said: list[str], emulated: bool = False) -> Recipe:
    path = folder / "mine.toml"
    path.write_text(text)
    target = read_target(ONNX, folder)
    entry = stand_in(target.name).model_copy(update={"emulated": emulated})
    project = Project.here()
    recipe = read_recipe(str(path), folder)
    return default.completed(project, recipe, target, entry, None, Silent(), lambda done: None, said.append)


def test_recipe_that_names_nothing_is_searched_for_within_its_own_limits(
    tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    said: list[str] = []
    text = HEAD + 'seed = 7\n[search]\nmax_drop = 0.5\nmax_kb = 80\nbudget = "2m"\n'
    assert _completed(text, tmp_path, said).shrink == (FOUND,)
    ((_, device, limits, budget_s, seed, *_),) = asked
    assert (device, limits, budget_s, seed) == (None, Constraints(0.005, None, 80.0), 120.0, 7)
    assert "searching for 2m, 0.5 points may go" in said[0]


@pytest.mark.parametrize("text", ["shrink = []\n", "[[shrink]]\nfilters = 0.25\n"])
def test_recipe_that_says_what_it_wants_is_left_alone(text: str, tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    recipe = _completed(HEAD + text, tmp_path, [])
    assert asked == []
    assert [shrink.filters for shrink in recipe.shrink] == ([0.25] if "filters" in text else [])


def test_emulated_device_gets_half_of_the_channels_and_no_search(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    said: list[str] = []
    assert _completed(HEAD, tmp_path, said, emulated=True).shrink == (default.BLIND,)
    assert asked == [] and "emulated" in said[0]
