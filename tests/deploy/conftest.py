"""What the tests of this folder share: a finished deploy of the digits recipe, farms for nights and for rollouts."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cli import BOARD, SHORT, Ended, run
from tests.deploy.night import ONE, TWO, FarmOf, NightFarm, build_store, night_farm
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
    """`deploy --model digits` to the tests' own board, on this machine, standing in; one for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "deployed"
    folder.mkdir(exist_ok=True)
    outcome, said = folder / "o.json", folder / "said.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.is_file():
            words = ("deploy", "--model", "digits", "--target", BOARD, "--json", str(outcome))
            ended = run(folder / "state", *words, program=SHORT)
            assert outcome.is_file(), ended.text
            said.write_text(json.dumps(asdict(ended)))
    return Deployed(folder / "state", json.loads(outcome.read_text()), Ended(**json.loads(said.read_text())))


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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state in which all that nights measure is built."""
    return build_store(tmp_path_factory.mktemp("built"), TWO)


@pytest.fixture
def farm_of(tmp_path: Path, store: Path) -> Iterator[FarmOf]:
    with ExitStack() as stack:

        def opened(devices: int, models: Mapping[str, int] = ONE, parallel: int = 4) -> NightFarm:
            return stack.enter_context(night_farm(tmp_path, devices, models, store=store, parallel=parallel))

        yield opened


@pytest.fixture
def disk_at() -> Iterator[Callable[[Path, int], Path]]:
    """Mounts a file system of so many MB. Asked for before the farm that shall lie on it, so that it goes last."""
    with ExitStack() as stack:
        yield lambda folder, megabytes: stack.enter_context(disk.small_disk(folder, megabytes))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    with disk.small_disk(tmp_path / "disk", 24) as folder:
        yield folder
