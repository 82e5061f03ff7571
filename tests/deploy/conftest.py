"""A finished deploy of the digits recipe that the tests of this folder share, and copies of its state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cli import BOARD, Ended, run
from tests.deploy.rollouts import Bench, two_boards
from tests.doubles import disk


@dataclass(frozen=True)
class Deployed:
    """state: the project's state after the deploy; outcome: what --json wrote."""

    state: Path
    outcome: dict[str, Any]
    ended: Ended


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """`deploy --model digits` to the tests' own board, on this machine, standing in."""
    folder = tmp_path_factory.mktemp("deployed")
    ended = run(folder / "state", "deploy", "--model", "digits", "--target", BOARD, "--json", str(folder / "o.json"))
    assert (folder / "o.json").is_file(), ended.text
    return Deployed(folder / "state", json.loads((folder / "o.json").read_text()), ended)


@pytest.fixture
def own_state(deployed: Deployed, tmp_path: Path) -> Path:
    """A copy of the finished deploy's state, to be spoiled."""
    shutil.copytree(deployed.state, tmp_path / "state", symlinks=True)
    return tmp_path / "state"


@pytest.fixture(scope="module")
def two_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Two boards behind links, which both run the release 1.0.0."""
    with two_boards(tmp_path_factory.mktemp("rollout")) as made:
        yield made


@pytest.fixture
def farm(two_running: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The same for one test, which may break what it likes."""
    with two_running.for_one_test(monkeypatch):
        yield two_running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    with disk.small_disk(tmp_path / "disk", 24) as folder:
        yield folder
