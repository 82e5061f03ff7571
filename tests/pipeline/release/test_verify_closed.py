"""release.verify where something can't be read: a finding that says why, never a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.release.errors import NoRelease
from pipeline.release.verify import verify
from tests.device_agents.tiny import tiny_bundle
from tests.pipeline.release.made import made_release, signing_key

TRUSTED = [signing_key(b"ada").public_key]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return made_release(tmp_path / "release", tiny_bundle(tmp_path / "bundle"), signing_key(b"ada"))


@pytest.mark.parametrize("name", ["model_card.md", "SHA256SUMS", "signature.json"])
def test_file_that_cannot_be_read_is_a_finding(release: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path.open

    def guarded(path: Path, *given: Any, **named: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return plain(path, *given, **named)

    monkeypatch.setattr(Path, "open", guarded)
    found = verify(release, TRUSTED)
    assert any(one.file == name and "Permission denied" in one.problem for one in found)


def test_folder_that_cannot_be_looked_into_is_a_finding(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.scandir

    def guarded(place: Any) -> Any:
        if Path(place).name == "sample":
            raise PermissionError(13, "Permission denied", str(place))
        return plain(place)

    monkeypatch.setattr(os, "scandir", guarded)
    assert "sample: can't be looked into: Permission denied" in map(str, verify(release, TRUSTED))


def test_name_that_is_too_long_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(NoRelease):
        verify(tmp_path / ("a" * 300), TRUSTED)
