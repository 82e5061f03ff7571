"""The tarball: one folder with everything in it, which runs where it is unpacked."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pipeline.release.archive import EPOCH
from pipeline.release.packages import examples, tarball
from tests.pipeline.release.packages import runnable


def test_tarball_unpacks_to_one_folder_that_runs(tmp_path: Path) -> None:
    content = runnable.onnx(tmp_path)
    example = examples.files(content, content.bundle.model_file)
    path = tmp_path / "made.tar.gz"
    tarball.write(path, content, example, examples.MODES)
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
        archive.extractall(tmp_path / "x", filter="data")
    folder = f"tiny-net-some-board-{content.version}"
    assert [entry.name for entry in entries] == sorted(f"{folder}/{name}" for name in example)
    assert {(entry.uid, entry.gid, entry.mtime, entry.uname) for entry in entries} == {(0, 0, EPOCH, "")}
    assert {entry.name for entry in entries if entry.mode == 0o755} == {f"{folder}/run.py"}
    assert runnable.run(tmp_path / "x" / folder, "--check").returncode == 0


@pytest.mark.parametrize(
    ("model", "name"), [("my model", "my-model"), ("Äpfel", "pfel"), ('a"b\\c', "a-b-c"), ("../up", "up")]
)
def test_name_is_one_that_a_release_may_hold(tmp_path: Path, model: str, name: str) -> None:
    # release.verify takes ASCII alone, and a tarball whose folder has a space is a trap for make.
    assert tarball.name(runnable.onnx(tmp_path, model=model)) == f"{name}-some-board-1.2.0"


def test_model_file_is_the_one_that_is_given(tmp_path: Path) -> None:
    content = runnable.onnx(tmp_path)
    other = tmp_path / "other.onnx"
    other.write_bytes(content.bundle.model_file.read_bytes() + b"\0")
    assert examples.files(content, other)[content.bundle.manifest.file] == other
