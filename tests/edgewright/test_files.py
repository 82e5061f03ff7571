"""Digests, JSON with one spelling, and writes that are whole or absent."""

from __future__ import annotations

import hashlib
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright import files


def test_sha256_file_agrees_with_hashlib_over_several_chunks(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) * 2 + 17)
    path = tmp_path / "big"
    path.write_bytes(data)
    assert files.sha256_file(path) == hashlib.sha256(data).hexdigest() == files.sha256_bytes(data)


def test_canonical_json_has_one_spelling_and_no_nan() -> None:
    assert files.canonical_json({"b": 1, "a": [1.5, "ä"]}) == b'{"a":[1.5,"\\u00e4"],"b":1}'
    with pytest.raises(ValueError):
        files.canonical_json({"a": math.nan})


def test_pretty_json_is_sorted_and_ends_in_a_newline() -> None:
    assert files.pretty_json({"b": 1, "a": 2}) == b'{\n  "a": 2,\n  "b": 1\n}\n'


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    files.write_atomically(path, b"old")
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [one.name for one in path.parent.iterdir()] == ["file"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_write_atomically_keeps_the_old_file_where_the_rename_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()  # a folder can't be replaced by a file
    (path / "inside").write_bytes(b"kept")
    with pytest.raises(OSError):
        files.write_atomically(path, b"new")
    assert (path / "inside").read_bytes() == b"kept"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_write_atomically_killed_before_the_rename_keeps_the_old_file(tmp_path: Path, project_root: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = (
        "import os, signal, sys; from pathlib import Path; from edgewright import files\n"
        "files.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=project_root)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"


def test_whole_folder_replaces_what_was_there_or_leaves_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "one"
    with files.whole_folder(folder) as made:
        (made / "a").write_text("1")
        assert not folder.exists()
    with pytest.raises(OSError), files.whole_folder(folder) as made:
        (made / "b").write_text("2")
        raise OSError
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "1"}
    with files.whole_folder(folder) as made:
        (made / "c").write_text("3")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"c": "3"}
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
