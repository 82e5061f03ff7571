"""The example as a plain tarball, for systems without dpkg: one folder that is called as the release is."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.release.archive import Members, write_tar_gz
from pipeline.release.content import Content


def name(content: Content) -> str:
    """What the tarball unpacks to, and is called without .tar.gz: of characters that every system and shell takes."""
    plain = re.sub(r"[^A-Za-z0-9+._-]+", "-", content.name).strip("+._-")
    return f"{plain}-{content.version}"


def write(path: Path, content: Content, example: Members, modes: dict[str, int]) -> None:
    """Writes the tarball, whole or not at all. Raises OSError."""
    folder = name(content)
    write_tar_gz(
        path,
        {f"{folder}/{member}": data for member, data in example.items()},
        {f"{folder}/{member}": mode for member, mode in modes.items()},
    )
