"""Archives whose bytes depend on nothing but names and contents: members sorted, one time, no owner, plain modes.

What Python can't promise is DEFLATE itself: two builds of zlib may pack the same bytes differently.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from edgewright.files import write_atomically

EPOCH = 315532800
"""1980-01-01T00:00:00Z in seconds: the earliest time that a zip can hold."""
TIME = "1980-01-01T00:00:00Z"

Members = Mapping[str, bytes | Path]
"""By name (with /, none absolute, no ..), a member's content or the file that has it."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE, _FOLDER = 0o644, 0o755


def write_zip(path: Path, members: Members, *, store: Collection[str] = ()) -> None:
    """Writes a zip, whole or not at all. store: names that are not compressed. Raises OSError, ValueError (a name)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in _sorted(members):
            info = zipfile.ZipInfo(name, _ZIP_EPOCH)
            # As made on Unix, wherever it is made.
            info.create_system, info.external_attr = 3, (0o100000 | _FILE) << 16
            info.compress_type = zipfile.ZIP_STORED if name in store else zipfile.ZIP_DEFLATED
            archive.writestr(info, data, compresslevel=9)
    write_atomically(path, buffer.getvalue())


def write_tar_gz(path: Path, members: Members, modes: Mapping[str, int] | None = None) -> None:
    """Writes a gzipped tar, whole or not at all; see tar_bytes. Raises OSError, ValueError (a name)."""
    write_atomically(path, gz_bytes(tar_bytes(members, modes)))


def tar_bytes(members: Members, modes: Mapping[str, int] | None = None, *, folders: bool = False) -> bytes:
    """A tar in POSIX.1-1988 (ustar) form. modes: of members that are not 0644. folders: with an entry for each folder.

    Raises OSError, ValueError (a name that is absolute, has a .., or is too long for ustar).
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        if folders:
            for folder in sorted({parent for name in members for parent in _parents(name)}):
                archive.addfile(_entry(folder, tarfile.DIRTYPE, _FOLDER))
        for name, data in _sorted(members):
            entry = _entry(name, tarfile.REGTYPE, (modes or {}).get(name, _FILE))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def gz_bytes(data: bytes) -> bytes:
    """Data as gzip packs it, with no name, no time and no system in the header (RFC 1952)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    return packed[:9] + b"\xff" + packed[10:]


def _sorted(members: Members) -> Iterator[tuple[str, bytes]]:
    for name in sorted(members):
        # "./", as .deb files have it, is no part of the path.
        parts = name.removeprefix("./").split("/")
        if name.startswith("/") or not all(part not in ("", ".", "..") for part in parts) or "\\" in name:
            raise ValueError(f"no name for a member of an archive: {name!r}")
        content = members[name]
        yield name, content if isinstance(content, bytes) else content.read_bytes()


def _parents(name: str) -> list[str]:
    dotted = name.startswith("./")
    inner = [str(folder) for folder in PurePosixPath(name).parents if str(folder) != "."]
    return [".", *(f"./{folder}" for folder in inner)] if dotted else inner


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
    return entry
