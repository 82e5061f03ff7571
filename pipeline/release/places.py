"""Paths as a person types them, and files that are written once: what can't be looked at is an answer, no traceback."""

from __future__ import annotations

import os
from pathlib import Path

from edgewright.errors import BadArgument


def typed(given: str | Path) -> Path:
    """With ~ followed. Raises BadArgument where it is nobody's."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise BadArgument("There is no home of that name.", where=str(given), remedy="write the path out") from error


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False where that can't be told (too long a name, a folder that we may not enter)."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Whether anything is there, a link that leads nowhere included; False where that can't be told."""
    return os.path.lexists(path)


def write_private(path: Path, data: bytes) -> None:
    """A new file, its owner's alone from its first byte on, never over another; whole or not at all. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
