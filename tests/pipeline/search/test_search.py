"""What a search refuses, and what it says where the device goes away."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from device_agents.errors import DeviceError
from device_agents.farm.inventory import DeviceEntry, stand_in
from edgewright.progress import Silent
from pipeline.ahead import build_ahead, workers
from pipeline.project import Project
from pipeline.recipe import Bounds, read_recipe
from pipeline.search.constraints import Constraints
from pipeline.search.notes import Notes, Watched
from pipeline.search.search import JUDGED, NoRealDevice, Search, SearchCutOff, judged, refuse, run
from targets.schema import read_target


def _project(folder: Path) -> Project:
    return Project(folder, folder / "state", folder / "cache", None)


def test_an_emulated_device_is_refused() -> None:
    entry = stand_in("host")
    refuse(entry)
    emulated = DeviceEntry.model_validate({**entry.model_dump(), "emulated": True})
    with pytest.raises(NoRealDevice, match="times mean nothing"):
        refuse(emulated)


def test_a_device_that_goes_away_says_to_type_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: Search) -> NoReturn:
        raise DeviceError("The device is gone", where="pi-1", remedy="plug it in")

    monkeypatch.setattr(Search, "run", gone)
    recipe, target = read_recipe("digits", tmp_path), read_target("host", tmp_path)
    with pytest.raises(SearchCutOff, match="is kept") as caught:
        run(_project(tmp_path), recipe, target)
    assert "again" in caught.value.remedy
    assert "plug it in" in caught.value.remedy


def test_files_are_judged_on_more_samples_where_that_is_cheap(tmp_path: Path) -> None:
    recipe = read_recipe("digits", tmp_path)
    longer, more_s = judged(recipe, check_s=2.0, samples=9000, allowed_s=3.0)
    assert (longer.check.samples, more_s) == (JUDGED, 3.0)
    assert judged(recipe, check_s=2.1, samples=9000, allowed_s=3.0) == (recipe, 0.0)
    assert judged(recipe, check_s=2.0, samples=recipe.check.samples, allowed_s=3.0) == (recipe, 0.0)
    said = recipe.model_copy(update={"check": Bounds(samples=50)})
    assert judged(said, check_s=0.01, samples=9000, allowed_s=3.0) == (said, 0.0)


def test_a_search_is_known_by_all_that_it_was_asked(tmp_path: Path) -> None:
    recipe, target = read_recipe("digits", tmp_path), read_target("host", tmp_path)

    def folder(seed: int = 0, drop: float = 0.01, budget: float = 60.0) -> Path:
        quiet = lambda *_: None  # noqa: E731
        asked = (recipe, target, stand_in("host"), Constraints(drop), budget, seed)
        return Search(_project(tmp_path), *asked, Silent(), quiet, quiet).folder

    assert folder() == folder()
    assert len({folder(), folder(seed=1), folder(drop=0.02), folder(budget=61.0)}) == 4


def test_other_weights_are_another_search(tmp_path: Path) -> None:
    recipe, target = tmp_path / "mine.toml", read_target("host", tmp_path)
    recipe.write_text(
        'factory = "models.architectures.resnet:resnet8"\ndata = "digits"\nweights = "mine.safetensors"\n'
    )

    def folder(weights: bytes) -> Path:
        (tmp_path / "mine.safetensors").write_bytes(weights)
        quiet = lambda *_: None  # noqa: E731
        asked = (read_recipe(str(recipe), tmp_path), target, stand_in("host"), Constraints(), 60.0, 0)
        return Search(_project(tmp_path), *asked, Silent(), quiet, quiet).folder

    first = folder(b"one")
    assert folder(b"two") != first
    assert folder(b"one") == first


def test_bundles_of_a_search_are_made_side_by_side_where_that_is_worth_it(tmp_path: Path) -> None:
    recipe, target, quiet = read_recipe("digits", tmp_path), read_target("host", tmp_path), lambda *_: None
    asked = (recipe, target, stand_in("host"), Constraints(0.01), 60.0, 0)
    search, notes = Search(_project(tmp_path), *asked, Silent(), quiet, quiet), Notes(tmp_path / "notes")
    builder = search._builder(search._base_plan({}), Watched(Silent(), notes), notes, 5.0)
    assert isinstance(builder.ahead, partial)
    assert builder.ahead.func is build_ahead
    assert builder.ahead.keywords == {"count": workers(), "bundle_s": 5.0, "tick": notes.tick}
