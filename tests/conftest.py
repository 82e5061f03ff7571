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
