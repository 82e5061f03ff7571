"""Paths as a person types them: what can't be looked at is an answer; a private file is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewright.errors import BadArgument
from pipeline.release.places import is_folder, is_there, typed, write_private


def test_home_of_nobody_is_refused_and_not_made_a_folder() -> None:
    with pytest.raises(BadArgument, match="no home of that name") as caught:
        typed("~nobody-of-that-name/x")
    assert caught.value.where == "~nobody-of-that-name/x"
    assert typed("~/x") == Path.home() / "x"


def test_name_that_is_too_long_is_no_folder(tmp_path: Path) -> None:
    assert is_folder(tmp_path) and is_there(tmp_path)
    assert not is_folder(tmp_path / ("a" * 300)) and not is_there(tmp_path / ("a" * 300))


def test_private_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_private(tmp_path / "a.key", b"secret")
    assert list(tmp_path.iterdir()) == []
    write_private(tmp_path / "a.key", b"secret")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "a.key", b"other")
    assert (tmp_path / "a.key").read_bytes() == b"secret"
