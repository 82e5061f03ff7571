"""What the bench asks of `./inv shrink`, and what it takes of its answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import read_bundle
from pipeline.project import Project
from tests.bench.compression.made import FIGURES, entry, matmul, search
from tests.bench.compression.rows import ROLES
from tests.bench.compression.work import artifacts, searched


def test_picks_are_the_best_that_hold_the_floor_on_validation() -> None:
    found = search(
        entry("trained@onnxruntime", faster=0.5, shrink={}, bytes=500, download=500),
        entry("small but slow", faster=0.4, bytes=10, download=10),
        entry("small in litert but slow", faster=0.9, runtime="litert", bytes=10, download=10),
        entry("chosen", runtime="litert", faster=9.0),
        entry("ort", faster=3.0, metric={"name": "top-1", "value": 0.1}),  # whatever test says
        entry("slow", faster=2.5, bytes=60),
        entry("light", faster=1.0, bytes=80, download=20),
        entry("over", faster=20.0, bytes=1, download=1, validation=0.92),
        entry("broken", faster=20.0, bytes=1, download=1, trouble="it failed"),
        chosen="chosen",
    )
    picked = {role: entry["name"] for role, entry in searched.picks(found, 1.0).items()}
    assert picked == {"fastest": "chosen", "onnxruntime": "ort", "smallest": "slow", "lightest": "light"}


def test_picks_leave_for_chance_what_the_search_leaves() -> None:
    found = search(entry("near", faster=9.0, validation=0.926), entry("safe", faster=3.0, validation=0.93))
    assert searched.picks(found, 1.0)["fastest"]["name"] == "near"
    assert searched.picks(found | {"allowed": 0.007}, 1.0)["fastest"]["name"] == "safe"


def test_search_that_chose_nothing_gives_no_fastest() -> None:
    assert searched.picks(search(entry("over", validation=0.5)), 1.0) == {}


def _project(folder: Path) -> Project:
    return Project(folder, folder / "state", folder / "cache", None)


def _asked(folder: Path, script: str) -> dict[str, Any]:
    """What a search by a made command gives; the script sees its arguments as `words`."""
    command = [sys.executable, "-c", f"import json, sys\nwords = sys.argv[1:]\n{script}"]
    (folder / "out").mkdir()
    what = {"model": "some", "target": "host", "max_drop": 1.0, "budget": "1s", "seed": 0}
    return searched.searched(_project(folder), folder / "some.toml", what, folder / "out", command)


def test_search_is_told_what_was_asked_and_its_bundles_are_kept(tmp_path: Path) -> None:
    matmul(tmp_path / "model.onnx")
    known = _project(tmp_path).state / "bundles"
    artifacts.write((tmp_path / "model.onnx").read_bytes(), "float", "some", FIGURES, known)
    digest = read_bundle(known / artifacts.BUNDLE).digest
    (known / artifacts.BUNDLE).rename(known / digest)
    found = search(entry("a", digest=digest), chosen="a") | {"met": True, "why": ""}
    script = f"json.dump({found!r} | {{'why': ' '.join(words)}}, open(words[-1], 'w')); sys.exit(3)"
    told = _asked(tmp_path, script)
    assert f"--target host --max-drop 1.0 --budget 1s --seed 0 --json {tmp_path}" in told["why"]
    assert str(tmp_path / "some.toml") in told["why"] and told["status"] == 3
    assert set(told["picked"]) == set(ROLES)
    assert read_bundle(tmp_path / "out" / "fastest").digest == digest
    assert searched.sizes(tmp_path / "out" / "fastest")["plain"] == (tmp_path / "model.onnx").stat().st_size


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("print('  error: no such device', '  next: x', sep='\\n'); sys.exit(1)", "error: no such device"),
        ("print('one', 'two', sep='\\n')", "two"),
        ("json.dump({'schema': 'other'}, open(words[-1], 'w'))", "nothing was said"),
    ],
)
def test_search_without_a_result_is_an_error_with_its_words(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(searched.SearchFailed) as caught:
        _asked(tmp_path, script)
    assert caught.value.what == said and "--resume" in caught.value.remedy


def test_recipe_is_asked_without_its_floor_and_finds_its_weights(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "weights").mkdir(parents=True)
    (own / "weights" / "some.safetensors").write_bytes(b"x")
    (own / "some.toml").write_text('weights = "weights/some.safetensors"\n[metric]\nfloor = 0.9  # high\n')
    for _ in range(2):
        asked = searched.without_floor(own / "some.toml", tmp_path / "asked")
    assert asked.read_text() == 'weights = "weights/some.safetensors"\n[metric]\nfloor = 0.0\n'
    assert (asked.parent / "weights" / "some.safetensors").read_bytes() == b"x"
