"""A finished deploy of the digits recipe that the tests of this folder share, and copies of its state."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cli import BOARD, Ended, run


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
