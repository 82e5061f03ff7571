"""Both packages for Linux: the same bytes wherever and whenever they are made, and honest notes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.release.evidence import Evidence, Figures
from pipeline.release.packages import PACKAGERS, chosen, linux
from pipeline.release.packages.errors import NotPackaged
from tests.pipeline.release.packages import runnable


def test_linux_target_gets_a_deb_and_a_tarball(tmp_path: Path) -> None:
    content = runnable.onnx(tmp_path)
    assert PACKAGERS[chosen(content.bundle.manifest)] == linux.__name__
    (tmp_path / "out").mkdir()
    said: list[str] = []
    linux.write(content, content.bundle.model_file, tmp_path / "out", said.append)
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["edgewright-tiny-net-some-board_1.2.0_all.deb", "tiny-net-some-board-1.2.0.tar.gz"]
    assert len(said) == 1 and all(name in said[0] for name in made)


def test_notes_tell_the_runtime_and_whether_it_was_measured(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    figures = Figures("board", "valid", "2026-10-01", "r", 1, "onnxruntime", "1.19.2")
    for evidence, measured in ((Evidence((figures,)), True), (Evidence((), True), False)):
        content = runnable.onnx(tmp_path / str(measured), evidence=evidence)
        notes = linux.write(content, content.bundle.model_file, tmp_path / "out", lambda text: None)
        assert any("onnxruntime 1.19.2" in note for note in notes) is measured
        assert any("was not measured" in note for note in notes) is not measured


def test_nothing_is_left_where_no_program_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    content = runnable.onnx(tmp_path)
    manifest = content.bundle.manifest.model_copy(update={"format": "pt2"})
    content = replace(content, bundle=replace(content.bundle, manifest=manifest))
    with pytest.raises(NotPackaged):
        linux.write(content, content.bundle.model_file, tmp_path / "out", lambda text: None)
    assert not list((tmp_path / "out").iterdir())


_MAKE = """
import os, sys
from pathlib import Path
from pipeline.release.packages import linux
from tests.pipeline.release.packages import runnable
os.umask(int(sys.argv[2], 8))
folder = Path(sys.argv[1])
content = runnable.onnx(folder)
for path in content.bundle.folder.iterdir():
    os.utime(path, (int(sys.argv[2]), int(sys.argv[2])))
(folder / "out").mkdir()
linux.write(content, content.bundle.model_file, folder / "out", lambda text: None)
"""


def test_another_machine_at_another_time_makes_the_same_bytes(tmp_path: Path, project_root: Path) -> None:
    made = []
    for name, umask, settings in (
        ("one", "022", {"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C"}),
        (
            "the other",
            "077",
            {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "1"},
        ),
    ):
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", _MAKE, str(folder), umask],
            check=True,
            cwd=project_root,
            env={**os.environ, **settings},
        )
        made.append({path.name: path.read_bytes() for path in (folder / "out").iterdir()})
    assert len(made[0]) == 2
    assert made[0] == made[1]
