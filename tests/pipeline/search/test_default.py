"""What deploy builds where a recipe names no [[shrink]]: the search's own, unless it says that it wants none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.inventory import stand_in
from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline.project import Project
from pipeline.recipe import Recipe, read_recipe
from pipeline.search import default
from pipeline.search.constraints import Constraints
from pipeline.search.found import Found
from pipeline.search.space import NothingToRemove
from pipeline.shrinking import Shrink
from targets.schema import Limits, read_target
from tests.pipeline.conftest import ONNX

HEAD = 'factory = "models.architectures.resnet:resnet8"\ndata = "digits"\n'
NOTHING = 404
FOUND = Shrink(name="c01", remove=("blocks.0",))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the search was asked; it finds FOUND."""
    calls: list[tuple[Any, ...]] = []

    def run(project: Project, recipe: Recipe, *given: Any) -> Found:
        calls.append(given)
        if recipe.seed == NOTHING:
            raise NothingToRemove("No layer can go", where="all", remedy="none")
        return Found({"why": "not met: nothing is fast enough"}, recipe.model_copy(update={"shrink": (FOUND,)}))

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
    assert said[1] == "not met: nothing is fast enough"


def test_network_of_which_nothing_can_go_is_deployed_as_it_is(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    said: list[str] = []
    assert _completed(HEAD + f"seed = {NOTHING}\n", tmp_path, said).shrink == ()
    assert asked and said[-1] == "nothing is shrunk: No layer can go"


@pytest.mark.parametrize(("line", "where"), [("max_kb = 0.1", "search.max_kb"), ('budget = "soon"', "search.budget")])
def test_limits_of_nonsense_are_refused_by_the_recipe_s_own_key(
    line: str, where: str, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(EdgewrightError) as caught:
        _completed(HEAD + f"[search]\n{line}\n", tmp_path, [])
    assert caught.value.where == f"{tmp_path / 'mine.toml'}: {where}"
    assert asked == []


def test_what_the_search_was_asked_bounds_what_is_shipped(tmp_path: Path) -> None:
    target = read_target(ONNX, tmp_path)
    target = target.model_copy(update={"limits": Limits(latency_ms=3.0, memory_mb=64.0, size_kb=50.0)})
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + "[search]\nmax_drop = 0.5\nmax_ms = 4.0\nmax_kb = 40\n")
    limits = default.within(target, read_recipe(str(path), tmp_path)).limits
    assert limits == Limits(latency_ms=3.0, memory_mb=64.0, size_kb=40.0, accuracy_drop=0.005)
    path.write_text(HEAD + "shrink = []\n")
    assert default.within(target, read_recipe(str(path), tmp_path)) is target


@pytest.mark.parametrize("text", ["shrink = []\n", "[[shrink]]\nfilters = 0.25\n"])
def test_recipe_that_says_what_it_wants_is_left_alone(text: str, tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    recipe = _completed(HEAD + text, tmp_path, [])
    assert asked == []
    assert [shrink.filters for shrink in recipe.shrink] == ([0.25] if "filters" in text else [])


def test_emulated_device_gets_half_of_the_channels_and_no_search(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    said: list[str] = []
    assert _completed(HEAD, tmp_path, said, emulated=True).shrink == (default.BLIND,)
    assert asked == [] and "emulated" in said[0]
