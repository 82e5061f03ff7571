"""A bundle as one small file to keep or to hand on, NAME.ewp: a zip of its manifest and its packed model file.

`unzip` and `xz -d` undo it too, unless the model is in the sparse form (docs/packages.md).
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from device_agents.agent.restore import GZ, SPARSE, XZ, Damaged, restored
from device_agents.bundle import MANIFEST, Bundle, Manifest, read_bundle
from device_agents.errors import BundleError, DeviceError
from device_agents.packing import Packed, pack
from edgewright.files import sha256_bytes, whole_folder, write_atomically

SUFFIX = ".ewp"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MOST_MANIFEST = 1 << 20
_SUFFIXES = ("", XZ, GZ, SPARSE + XZ, SPARSE + GZ)
# What the zipfile module may raise where a byte isn't what it was.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)
_AGAIN = "make it again where the bundle is: ./inv package BUNDLE"


class PackageError(DeviceError):
    """A package file is missing, damaged, or holds what no package does."""


class PackageNotWritten(DeviceError):
    """A package, or the bundle in one, can't be written where it should be."""


@dataclass(frozen=True)
class Package:
    """A package file that was written. model_bytes: what the model file takes in it, of `unpacked`; bytes: all."""

    path: Path
    bytes: int
    model_bytes: int
    unpacked: int
    packing: str


def write_package(bundle: Bundle, path: Path) -> Package:
    """Writes a bundle as a package, whole or not at all; of equal bundles equal bytes. Raises PackageNotWritten."""
    model = bundle.model_file.read_bytes()
    packed = pack(model)
    _check_restored(packed, model, bundle)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, MANIFEST, bundle.manifest.canonical(), zipfile.ZIP_DEFLATED)
        _add(archive, bundle.manifest.file + packed.suffix, packed.data, zipfile.ZIP_STORED)
    data = buffer.getvalue()
    try:
        write_atomically(path, data)
    except OSError as error:
        raise PackageNotWritten(
            f"The package can't be written: {error.strerror or error}",
            where=str(path),
            remedy="make room there, or name another file: ./inv package BUNDLE --out FILE",
        ) from error
    return Package(path, len(data), len(packed.data), len(model), packed.suffix)


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr, info.compress_type = 3, 0o644 << 16, method
    archive.writestr(info, data, compresslevel=9)


def _check_restored(packed: Packed, model: bytes, bundle: Bundle) -> None:
    """What nobody can unpack again is no package."""
    found = b"".join(restored(io.BytesIO(packed.data), packed.suffix, len(model)))
    if sha256_bytes(found) != bundle.manifest.sha256:
        raise BundleError(
            "The bundle's model file is not the one that its manifest names.",
            where=str(bundle.model_file),
            remedy="build it again: ./inv deploy",
        )


def read_manifest(path: Path) -> Manifest:
    """The manifest in a package. Raises PackageError."""
    with _opened(path) as archive:
        return _manifest(path, archive)


def unpack(path: Path, folder: Path) -> Bundle:
    """Makes `folder` out of a package, checked, whole or not at all; a folder that is there is replaced.

    Nothing that a package says of itself is believed: names and sizes are held against its manifest, the content
    against its digest. Raises PackageError, PackageNotWritten.
    """
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        member = _model(path, archive, manifest)
        suffix = member.filename[len(manifest.file) :]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder.parent).free
            if manifest.bytes > free:
                raise OSError(28, f"{manifest.bytes / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free")
            with whole_folder(folder) as made:
                _write(made / manifest.file, _pieces(path, archive, member, suffix, manifest.bytes))
                (made / MANIFEST).write_bytes(manifest.canonical())
                read_bundle(made)
        except BundleError as error:
            raise _refused(path, "its model file is not the one that its manifest names") from error
        except OSError as error:
            raise PackageNotWritten(
                f"The package can't be unpacked: {error.strerror or error}",
                where=str(folder),
                remedy="make room there, then run the same command again",
            ) from error
    return Bundle(folder, manifest)


def _refused(path: Path, why: str) -> PackageError:
    return PackageError(f"The package is no use: {why}.", where=str(path), remedy=_AGAIN)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise PackageError(f"No package there: {error.strerror}", where=str(path), remedy=_AGAIN) from error
    with stream:
        try:
            archive = zipfile.ZipFile(stream)
        except _BROKEN as error:
            raise _refused(path, f"it is no zip file, or a part of one ({error})") from error
        with archive:
            yield archive


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    members = [info for info in archive.infolist() if info.filename == MANIFEST]
    if len(members) != 1 or members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(path, f"it has no {MANIFEST}, or more than one")
    data = b"".join(_pieces(path, archive, members[0], "", _MOST_MANIFEST))
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _refused(path, f"its manifest can't be read ({key}: {first['msg']})") from error
    if data != manifest.canonical():
        raise _refused(path, "its manifest was changed by hand")
    return manifest


def _model(path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> zipfile.ZipInfo:
    """The only other member: the model file, under the name that the manifest gives it and how it is packed."""
    others = [info for info in archive.infolist() if info.filename != MANIFEST]
    if len(others) != 1 or others[0].filename not in [manifest.file + suffix for suffix in _SUFFIXES]:
        raise _refused(path, f"it holds something else than {MANIFEST} and {manifest.file}")
    if others[0].compress_type != zipfile.ZIP_STORED:
        raise _refused(path, f"{others[0].filename} is compressed twice")
    return others[0]


def _pieces(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, suffix: str, size: int) -> Iterator[bytes]:
    """What is in a member, at most `size` bytes of it. Raises PackageError."""
    try:
        with archive.open(member) as stream:
            yield from restored(stream, suffix, size)  # type: ignore[arg-type]
    except Damaged as damage:
        raise _refused(path, f"{member.filename} is damaged ({damage})") from damage
    except _BROKEN as error:
        raise _refused(path, f"{member.filename} is damaged ({error})") from error
    except MemoryError as error:
        raise _refused(path, f"{member.filename} needs more memory than there is") from error


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
