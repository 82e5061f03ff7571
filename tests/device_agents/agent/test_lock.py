"""The device's lock: one holder, known by name, gone with its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from device_agents.agent.lock import Busy, Lock, holder

_HOLD = """
import sys
from device_agents.agent.lock import Lock
with Lock(sys.argv[1], {"who": "other"}):
    print("held", flush=True)
    sys.stdin.read()
"""


def _holding(root: Path, project_root: Path) -> subprocess.Popen[str]:
    running = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(root)],
        cwd=project_root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "held\n"
    return running


def test_second_holder_is_refused_and_told_who_is_first(tmp_path: Path, project_root: Path) -> None:
    with _holding(tmp_path, project_root) as running:
        with pytest.raises(Busy) as caught, Lock(str(tmp_path), {"who": "me"}):
            pass
        assert caught.value.holder == {"who": "other"}
        assert holder(str(tmp_path)) == {"who": "other"}
        running.kill()


def test_lock_of_a_killed_holder_is_free(tmp_path: Path, project_root: Path) -> None:
    with _holding(tmp_path, project_root) as running:
        running.kill()
    assert holder(str(tmp_path)) is None
    with Lock(str(tmp_path), {"who": "me"}):
        assert holder(str(tmp_path)) == {"who": "me"}
    assert holder(str(tmp_path)) is None


def test_lock_makes_its_folder(tmp_path: Path) -> None:
    with Lock(str(tmp_path / "a" / "b"), {}):
        pass
    assert holder(str(tmp_path / "nowhere")) is None


def test_lock_file_with_garbage_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff\xfe not json " * 100)
    with Lock(str(tmp_path), {"who": "me"}):
        assert holder(str(tmp_path)) == {"who": "me"}
