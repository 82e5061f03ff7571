"""SHA256SUMS: a digest for every file of a release but the signature over it, as coreutils' `sha256sum -c` reads it."""

from __future__ import annotations

from pathlib import Path

from edgewright.files import sha256_file

FILE, SIGNATURE = "SHA256SUMS", "signature.json"


def sums(folder: Path) -> bytes:
    """The content of SHA256SUMS for a folder's files, by path. Raises OSError."""
    lines = [f"{sha256_file(folder / path)}  {path}\n" for path in paths(folder) if path not in (FILE, SIGNATURE)]
    return "".join(lines).encode()


def paths(folder: Path) -> list[str]:
    """Every file in a folder, relative to it, with /, sorted by bytes."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return sorted(found, key=str.encode)


def differing(one: Path, other: Path) -> list[str]:
    """Paths that only one of two folders has, or that differ, sorted."""
    here, there = set(paths(one)), set(paths(other))
    changed = {path for path in here & there if sha256_file(one / path) != sha256_file(other / path)}
    return sorted(changed | (here ^ there))
