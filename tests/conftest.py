"""What every test gets: the project's root, a state folder of its own, and numeric libraries held to one thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Read when torch or a BLAS is first loaded, also in the processes that tests start: two threads that fight over two
# busy cores are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# Their fixtures start emulated boards, minutes of work, so one process has them all.
_ONE_PROCESS = {"tests/arm": "arm", "tests/deploy/test_devices.py": "arm"}


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Where tests share the cores, each file's stay in one process, and so do those of what is dear to set up.

    A wrapper, since xdist reads the marks in the same hook and would else come first.
    """
    for item in items:
        file = item.path.relative_to(ROOT).as_posix() if item.path.is_relative_to(ROOT) else item.path.name
        group = next((name for start, name in _ONE_PROCESS.items() if file.startswith(start)), file)
        item.add_marker(pytest.mark.xdist_group(group))
    yield


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds tasks.py, models/ and targets/."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def _session_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No fixture or test reads or writes the state of the person who runs the tests; downloads are theirs to share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_ROOT", str(ROOT))
        patch.setenv("EDGEWRIGHT_STATE", str(tmp_path_factory.mktemp("session-state")))
        yield


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's own state folder (store, ledger, checkpoints), empty; EDGEWRIGHT_STATE names it."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(folder))
    return folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of downloads with nothing in it; EDGEWRIGHT_CACHE names it."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Holds an already loaded torch to one thread, also where an earlier test changed that."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)
