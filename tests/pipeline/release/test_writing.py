"""Writing a release: what a full disk, a closed folder and a run that was killed leave behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.project import Project
from pipeline.release import changelog
from pipeline.release.errors import NotWritten
from tests.pipeline.release import accepted
from tests.pipeline.release.accepted import released


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    made = accepted.project(tmp_path / "project", state)
    accepted.accept(made, accepted.bundle(tmp_path))
    return made


def test_lock_that_cannot_be_opened_says_so(project: Project) -> None:
    (project.state / "locks" / "releases").mkdir(parents=True)
    with pytest.raises(NotWritten, match="Is a directory") as caught:
        released(project)
    assert caught.value.where == str(project.state / "locks" / "releases")


def test_folder_whose_name_is_too_long_says_so(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match="too long"):
        released(project, out=tmp_path / ("a" * 300))


def test_draft_that_cannot_be_written_is_a_warning(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release is there by then; to call it not written would send a person to do it again."""

    def full(*given: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(changelog, "write", full)
    said: list[str] = []
    made = released(project, say=said.append)
    assert made.new and made.draft is None and made.folder.is_dir()
    assert any("can't be drafted: No space left" in line for line in said)


def test_what_a_killed_run_left_goes_once_it_is_old(project: Project) -> None:
    releases = project.root / "releases"
    old, young, other = (
        releases / name
        for name in (
            ".tiny-raspberry-pi-1.0.0.abcd1234",
            ".tiny-raspberry-pi-1.0.0.efgh5678",
            ".tiny-raspberry-pi-9.0.0.abcd1234",
        )
    )
    for folder in (old, young, other):
        (folder / "made").mkdir(parents=True)
    for folder in (old, other):
        os.utime(folder, (time.time() - 7200,) * 2)
    released(project)
    assert not old.exists() and young.exists() and other.exists()
