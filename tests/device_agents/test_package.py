"""Packages: the bundle again bit by bit, the same file every time, and no harm from one that somebody else made."""

from __future__ import annotations

import io
import json
import lzma
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from device_agents import package
from device_agents.agent.restore import SPARSE, XZ
from device_agents.bundle import MANIFEST, Bundle, read_bundle, write_bundle
from device_agents.errors import BundleError
from device_agents.package import PackageError, PackageNotWritten, read_manifest, unpack, write_package
from edgewright.files import sha256_bytes
from tests.device_agents.tiny import tiny_manifest
from tests.device_agents.weights import int8_weights, noise

MODEL = int8_weights(50_000, keep=0.2)


def _bundle(folder: Path, model: bytes = MODEL) -> Bundle:
    folder.mkdir(exist_ok=True)
    (folder / "model").write_bytes(model)
    return write_bundle(folder / "bundle", folder / "model", tiny_manifest())


@pytest.fixture
def made(tmp_path: Path) -> Bundle:
    return _bundle(tmp_path / "made")


def _zip(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("model", [MODEL, noise(3000), bytes(9000), b""], ids=["weights", "noise", "zeros", "empty"])
def test_unpacked_package_is_the_bundle_bit_by_bit(tmp_path: Path, model: bytes) -> None:
    made = _bundle(tmp_path / "made", model)
    told = write_package(made, tmp_path / "a.ewp")
    found = unpack(tmp_path / "a.ewp", tmp_path / "folder")
    assert found.manifest == made.manifest == read_manifest(tmp_path / "a.ewp")
    assert {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()} == {
        path.name: path.read_bytes() for path in made.folder.iterdir()
    }
    assert told.bytes == (tmp_path / "a.ewp").stat().st_size
    assert told.unpacked == len(model) >= told.model_bytes


def test_package_is_the_same_bytes_every_time_and_small(tmp_path: Path, made: Bundle) -> None:
    told = write_package(made, tmp_path / "a.ewp")
    write_package(made, tmp_path / "b.ewp")
    assert (tmp_path / "a.ewp").read_bytes() == (tmp_path / "b.ewp").read_bytes()
    assert told.packing == SPARSE + XZ
    # The zip's own headers and the manifest.
    assert told.bytes - told.model_bytes < 1000


def test_package_that_xz_alone_made_needs_no_program_of_ours(tmp_path: Path) -> None:
    made = _bundle(tmp_path / "made", int8_weights(50_000))
    assert write_package(made, tmp_path / "a.ewp").packing == XZ
    with zipfile.ZipFile(tmp_path / "a.ewp") as archive:
        assert archive.read(MANIFEST) == made.manifest.canonical()
        assert lzma.decompress(archive.read("model.onnx.xz")) == made.model_file.read_bytes()


def test_package_replaces_a_damaged_folder(tmp_path: Path, made: Bundle) -> None:
    write_package(made, tmp_path / "a.ewp")
    unpack(tmp_path / "a.ewp", tmp_path / "folder").model_file.write_bytes(b"")
    unpack(tmp_path / "a.ewp", tmp_path / "folder")
    assert read_bundle(tmp_path / "folder").digest == made.digest


def test_bundle_that_changed_since_it_was_read_makes_no_package(tmp_path: Path, made: Bundle) -> None:
    made.model_file.write_bytes(b"other")
    with pytest.raises(BundleError):
        write_package(made, tmp_path / "a.ewp")
    assert not (tmp_path / "a.ewp").exists()


def test_package_that_cannot_be_written_is_told(tmp_path: Path, made: Bundle) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PackageNotWritten, match="can't be written"):
        write_package(made, tmp_path / "file" / "a.ewp")


def _refused(path: Path, match: str) -> None:
    """Refused with a remedy, and nothing is left of it."""
    folder = path.parent / "into" / "folder"
    with pytest.raises(PackageError, match=match) as caught:
        unpack(path, folder)
    assert "./inv package" in caught.value.remedy
    assert not folder.parent.exists() or list(folder.parent.iterdir()) == []


def test_missing_package_is_told(tmp_path: Path) -> None:
    _refused(tmp_path / "none.ewp", "No package there")
    _refused(tmp_path, "No package there")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_package_that_is_cut_short_is_refused(tmp_path: Path, made: Bundle, share: float) -> None:
    write_package(made, tmp_path / "a.ewp")
    whole = (tmp_path / "a.ewp").read_bytes()
    (tmp_path / "a.ewp").write_bytes(whole[: int(share * len(whole))])
    _refused(tmp_path / "a.ewp", "no zip file, or a part of one")


def test_package_with_any_byte_changed_gives_the_same_bundle_or_none(tmp_path: Path) -> None:
    made = _bundle(tmp_path / "made", int8_weights(600))
    write_package(made, tmp_path / "a.ewp")
    whole = (tmp_path / "a.ewp").read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        (tmp_path / "a.ewp").write_bytes(changed)
        try:
            assert unpack(tmp_path / "a.ewp", tmp_path / "folder").digest == made.digest
        except PackageError:
            refused += 1
    assert refused > 0.8 * len(whole) / 5


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/tmp/model.onnx", "model.onnx.zst", "other.onnx", ".", "a/model.onnx"]
)
def test_member_of_another_name_is_refused(tmp_path: Path, made: Bundle, name: str) -> None:
    path = _zip(tmp_path / "a.ewp", (MANIFEST, made.manifest.canonical()), (name, MODEL))
    _refused(path, "holds something else")


def test_members_too_many_or_too_few_are_refused(tmp_path: Path, made: Bundle) -> None:
    manifest, model = (MANIFEST, made.manifest.canonical()), ("model.onnx", MODEL)
    _refused(_zip(tmp_path / "a.ewp", manifest), "holds something else")
    _refused(_zip(tmp_path / "a.ewp", model), "has no manifest.json")
    _refused(_zip(tmp_path / "a.ewp", manifest, model, ("more", b"")), "holds something else")
    with pytest.warns(UserWarning, match="Duplicate"):
        path = _zip(tmp_path / "a.ewp", manifest, model, manifest)
    _refused(path, "more than one")


def test_symbolic_link_is_a_file_of_other_content(tmp_path: Path, made: Bundle) -> None:
    link = zipfile.ZipInfo("model.onnx")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.ewp", "w") as archive:
        archive.writestr(MANIFEST, made.manifest.canonical())
        archive.writestr(link, "/etc/passwd")
    _refused(tmp_path / "a.ewp", "not the one that its manifest names")


def test_bomb_is_not_unpacked_further_than_its_manifest_says(
    tmp_path: Path, made: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    really = package._pieces

    def counted(*given: Any) -> Any:
        nonlocal written
        for piece in really(*given):
            written += len(piece)
            yield piece

    monkeypatch.setattr(package, "_pieces", counted)
    manifest = (MANIFEST, made.manifest.canonical())
    _refused(_zip(tmp_path / "a.ewp", manifest, ("model.onnx.xz", lzma.compress(bytes(10**8)))), "more than the 50000")
    assert written < 60_000
    _refused(_zip(tmp_path / "a.ewp", manifest, ("model.onnx", bytes(10**6))), "more than the 50000")
    path = _zip(tmp_path / "a.ewp", (MANIFEST, bytes(10**8)), ("model.onnx", b""), method=zipfile.ZIP_DEFLATED)
    _refused(path, "manifest.json is damaged")


def test_member_that_the_zip_compresses_too_is_refused(tmp_path: Path, made: Bundle) -> None:
    members = (MANIFEST, made.manifest.canonical()), ("model.onnx", MODEL)
    _refused(_zip(tmp_path / "a.ewp", *members, method=zipfile.ZIP_DEFLATED), "compressed twice")
    _refused(_zip(tmp_path / "a.ewp", *members, method=zipfile.ZIP_BZIP2), "has no manifest.json")


def test_model_of_another_digest_is_refused(tmp_path: Path, made: Bundle) -> None:
    other = int8_weights(50_000, keep=0.2, seed=6)
    path = _zip(tmp_path / "a.ewp", (MANIFEST, made.manifest.canonical()), ("model.onnx", other))
    _refused(path, "not the one that its manifest names")


def test_manifest_that_is_none_or_was_changed_is_refused(tmp_path: Path, made: Bundle) -> None:
    canonical = made.manifest.canonical()
    for manifest, match in (
        (b"{}", "can't be read"),
        (b"\xff", "can't be read"),
        (json.dumps(json.loads(canonical), indent=1).encode(), "changed by hand"),
        (canonical.replace(b"model.onnx", b"../x.onnx"), "can't be read"),
    ):
        _refused(_zip(tmp_path / "a.ewp", (MANIFEST, manifest), ("model.onnx", MODEL)), match)


def test_model_that_the_disk_has_no_room_for_is_told_before_it_is_unpacked(
    tmp_path: Path, made: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(made, tmp_path / "a.ewp")
    full = shutil._ntuple_diskusage(10**6, 10**6, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(PackageNotWritten, match="can't be unpacked") as caught:
        unpack(tmp_path / "a.ewp", tmp_path / "into" / "folder")
    assert "make room" in caught.value.remedy
    assert list((tmp_path / "into").iterdir()) == []


def test_digest_names_what_is_in_it(tmp_path: Path, made: Bundle) -> None:
    write_package(made, tmp_path / "a.ewp")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "a.ewp").read_bytes())) as archive:
        assert sha256_bytes(archive.read(MANIFEST)) == made.digest
