"""Bundles on their way to a device: packed by what it can undo, whole there or absent, whatever goes wrong."""

from __future__ import annotations

import errno
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agents import packing
from device_agents.agent.restore import GZ, SPARSE, XZ
from device_agents.bundle import MANIFEST, Bundle, read_bundle, write_bundle
from device_agents.connect.base import Connection
from device_agents.connect.process import PLACE_BOOT
from device_agents.connect.restore import PlaceRestorer, Restorer, Seen, ShellRestorer
from device_agents.errors import DeviceFolderError, NoRoom, PushFailed
from device_agents.farm import shelves
from device_agents.farm.shelves import Shelves
from device_agents.pack import place_source
from device_agents.packing import Packed
from edgewright.progress import Silent
from tests.device_agents.tiny import tiny_manifest
from tests.device_agents.weights import int8_weights, noise


def _made(folder: Path, model: bytes) -> Bundle:
    folder.mkdir(exist_ok=True)
    (folder / "model").write_bytes(model)
    return write_bundle(folder / "bundle", folder / "model", tiny_manifest())


@pytest.fixture
def sparse_bundle(tmp_path: Path) -> Bundle:
    return _made(tmp_path / "made", int8_weights(200_000, keep=0.2))


@pytest.fixture
def restorer(connection: Connection) -> Restorer:
    return PlaceRestorer(connection) if connection.needs_python else ShellRestorer(connection)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / 'it\'s $(a) "root"'


@pytest.fixture
def shelf(connection: Connection, restorer: Restorer, root: Path) -> Shelves:
    """Of each way of connecting."""
    return Shelves(connection, restorer, str(root), Silent())


def _only_the_bundle(root: Path, bundle: Bundle) -> None:
    folder = root / "bundles" / bundle.digest
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, bundle.manifest.file]
    assert read_bundle(folder).digest == bundle.digest


def test_install_sends_less_than_it_puts_there(shelf: Shelves, root: Path, sparse_bundle: Bundle) -> None:
    found = shelf.install(sparse_bundle.folder)
    assert found.path == f"{root}/bundles/{sparse_bundle.digest}"
    _only_the_bundle(root, sparse_bundle)
    told = shelf.installed[sparse_bundle.digest]
    assert told.packing in (SPARSE + XZ, GZ)
    assert told.bytes == 200_000 + (sparse_bundle.folder / MANIFEST).stat().st_size
    assert 0 < told.sent < told.bytes / 2


def test_install_of_what_is_there_sends_nothing(
    shelf: Shelves, connection: Connection, restorer: Restorer, root: Path, sparse_bundle: Bundle
) -> None:
    first = shelf.install(sparse_bundle.folder)
    told = shelf.installed[sparse_bundle.digest]
    assert shelf.install(sparse_bundle.folder) == first
    assert shelf.installed[sparse_bundle.digest] == told
    other = Shelves(connection, restorer, str(root), Silent())
    other.install(sparse_bundle.folder)
    assert other.installed[sparse_bundle.digest].sent == 0


def test_install_over_a_damaged_model_heals_it(shelf: Shelves, root: Path, sparse_bundle: Bundle) -> None:
    shelf.install(sparse_bundle.folder)
    model = root / "bundles" / sparse_bundle.digest / sparse_bundle.manifest.file
    model.write_bytes(bytes(200_000))
    shelf.install(sparse_bundle.folder)
    _only_the_bundle(root, sparse_bundle)


def test_model_that_does_not_get_smaller_travels_as_it_is(shelf: Shelves, root: Path, tmp_path: Path) -> None:
    made = _made(tmp_path / "made", noise(50_000))
    shelf.install(made.folder)
    _only_the_bundle(root, made)
    assert shelf.installed[made.digest].packing == ""
    assert shelf.installed[made.digest].sent == shelf.installed[made.digest].bytes


@pytest.mark.parametrize(("undoes", "packing"), [({GZ, SPARSE + GZ}, SPARSE + GZ), (set(), "")])
def test_device_without_lzma_gets_gzip_and_one_without_both_the_file(
    python_connection: Connection, root: Path, sparse_bundle: Bundle, undoes: set[str], packing: str
) -> None:
    class Poor(PlaceRestorer):
        def seek(self, path: str, sha256: str, size: int) -> Seen:
            return Seen(super().seek(path, sha256, size).whole, frozenset(undoes))

    shelf = Shelves(python_connection, Poor(python_connection), str(root), Silent())
    shelf.install(sparse_bundle.folder)
    assert shelf.installed[sparse_bundle.digest].packing == packing
    _only_the_bundle(root, sparse_bundle)


def test_large_model_is_not_packed_by_what_takes_longer_than_sending(
    python_connection: Connection, root: Path, sparse_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "_MOST_XZ", 1000)
    shelf = Shelves(python_connection, PlaceRestorer(python_connection), str(root), Silent())
    shelf.install(sparse_bundle.folder)
    assert shelf.installed[sparse_bundle.digest].packing.endswith(GZ)


DAMAGES = {
    "cut": lambda packed: Packed(packed.suffix, packed.data[:-100]),
    "other content": lambda packed: Packed(XZ, lzma.compress(int8_weights(200_000, seed=6))),
    "too much": lambda packed: Packed(XZ, lzma.compress(bytes(300_000_000), preset=0)),
    "no stream": lambda packed: Packed(packed.suffix, b"what is this"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_packed_model_that_unpacks_to_something_else_is_thrown_away(
    python_connection: Connection, root: Path, sparse_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    really = packing.pack
    monkeypatch.setattr(shelves, "pack", lambda *given: DAMAGES[damage](really(*given)))
    shelf = Shelves(python_connection, PlaceRestorer(python_connection), str(root), Silent())
    with pytest.raises(PushFailed, match="unpacks to something else there") as caught:
        shelf.install(sparse_bundle.folder)
    assert "run the same command again" in caught.value.remedy
    assert list((root / "bundles" / sparse_bundle.digest).iterdir()) == []
    monkeypatch.setattr(shelves, "pack", really)
    shelf.install(sparse_bundle.folder)
    _only_the_bundle(root, sparse_bundle)


@pytest.mark.device
def test_phone_throws_a_damaged_stream_away(phone_double: Any, root: Path, sparse_bundle: Bundle) -> None:
    from device_agents.connect.adb import AdbConnection

    with AdbConnection.open(phone_double.entry()) as connection:
        restorer = ShellRestorer(connection)
        model = root / sparse_bundle.manifest.file
        root.mkdir()
        for content in (b"what is this", b""):
            (root / "packed").write_bytes(content)
            of = sparse_bundle.manifest
            assert restorer.restore(str(root / "packed"), GZ, str(model), of.sha256, of.bytes)
            assert list(root.iterdir()) == []
        with pytest.raises(FileNotFoundError):
            restorer.restore(str(root / "none"), GZ, str(model), of.sha256, of.bytes)


@pytest.fixture
def killed_in_mid_unpack(root: Path, sparse_bundle: Bundle) -> Iterator[Path]:
    """What a device holds whose Python was killed while it unpacked; the bundle's folder there."""
    folder, of = root / "bundles" / sparse_bundle.digest, sparse_bundle.manifest
    folder.mkdir(parents=True)
    os.mkfifo(folder / "packed")
    program = subprocess.Popen([sys.executable, "-I", "-c", PLACE_BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdin and program.stdout
    request = {"do": "restore", "id": 1, "path": str(folder / of.file), "packed": str(folder / "packed")}
    request |= {"suffix": "", "sha256": of.sha256, "size": of.bytes, "token": "0123456789abcdef"}
    source = place_source()
    program.stdin.write(b"%d\n" % len(source) + source + json.dumps(request).encode() + b"\n")
    program.stdin.flush()
    with (folder / "packed").open("wb") as stream:
        stream.write(sparse_bundle.model_file.read_bytes()[:100_000])
        stream.flush()
        program.kill()
        program.communicate()
    (folder / "packed").unlink()
    yield folder


def test_unpacking_that_was_killed_leaves_no_model_and_the_next_install_is_whole(
    killed_in_mid_unpack: Path, python_connection: Connection, root: Path, sparse_bundle: Bundle
) -> None:
    assert [path.suffix for path in killed_in_mid_unpack.iterdir()] == [".part"]
    Shelves(python_connection, PlaceRestorer(python_connection), str(root), Silent()).install(sparse_bundle.folder)
    _only_the_bundle(root, sparse_bundle)


def test_install_goes_on_where_it_was_cut_between_sending_and_unpacking(
    python_connection: Connection, root: Path, sparse_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelves(python_connection, PlaceRestorer(python_connection), str(root), Silent())

    def cut(*given: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PlaceRestorer, "restore", cut)
        shelf.install(sparse_bundle.folder)
    shelf.install(sparse_bundle.folder)
    assert shelf.installed[sparse_bundle.digest].sent == (sparse_bundle.folder / MANIFEST).stat().st_size
    _only_the_bundle(root, sparse_bundle)


@pytest.mark.device
def test_disk_that_is_too_full_to_unpack_on_says_so_and_tidies(
    connection: Connection, restorer: Restorer, small_disk: Path, tmp_path: Path
) -> None:
    made = _made(tmp_path / "made", int8_weights(500_000, keep=0.02) * 12)  # 6 MB that travel as a few hundred KB
    shelf, really, hog = Shelves(connection, restorer, str(small_disk), Silent()), restorer.restore, small_disk / "hog"

    def restore(*given: Any) -> str:
        with hog.open("wb") as stream, pytest.raises(OSError, match="No space"):  # someone else was quicker
            while True:
                stream.write(bytes(100_000))
        return really(*given)

    restorer.restore = restore  # type: ignore[method-assign, assignment]
    with pytest.raises(NoRoom, match="no room to unpack"):
        shelf.install(made.folder)
    assert list((small_disk / "bundles" / made.digest).iterdir()) == []


def test_folder_that_cannot_be_written_is_told(
    python_connection: Connection, sparse_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(PlaceRestorer, "restore", refuse)
    shelf = Shelves(python_connection, PlaceRestorer(python_connection), str(tmp_path / "d"), Silent())
    with pytest.raises(DeviceFolderError, match="Read-only"):
        shelf.install(sparse_bundle.folder)
    assert list((tmp_path / "d" / "bundles" / sparse_bundle.digest).iterdir()) == []
