"""Wheels into a content-addressed runtime folder: no pip, no root, no internet on the device."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zipfile
from typing import List, Tuple


def unpack(root: str, digest: str, wheels: List[str]) -> Tuple[str, bool]:
    """The runtime folder <root>/runtimes/<digest>, made from `wheels` where it isn't there yet.

    Returns (folder or "" where it isn't there and no wheels were given, whether it was made now). The folder appears by
    one rename, so it is whole or absent. Raises OSError, also where a wheel is no sound zip or a path in it leaves the
    folder; ENOSPC, saying how much is needed, before anything is written.
    """
    runtimes = os.path.join(root, "runtimes")
    folder = os.path.join(runtimes, digest)
    if os.path.isdir(folder):
        return folder, False
    if not wheels:
        return "", False
    os.makedirs(runtimes, exist_ok=True)
    _room(runtimes, wheels)
    temporary = tempfile.mkdtemp(prefix=".%s." % digest[:16], dir=runtimes)
    try:
        for wheel in wheels:
            _extract(wheel, temporary)
        # Nothing checks these files again, so a power cut must not find a name without its content.
        os.sync()
        try:
            os.rename(temporary, folder)
        except OSError:
            if not os.path.isdir(folder):  # else another job was quicker with the same content
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder, True


def _room(folder: str, wheels: List[str]) -> None:
    found = os.statvfs(folder)
    free, needed = found.f_bavail * found.f_frsize, sum(_unpacked_bytes(wheel, found.f_frsize) for wheel in wheels)
    if needed > free:
        raise OSError(errno.ENOSPC, "unpacking needs %.1f MB, %.1f MB are free" % (needed / 1e6, free / 1e6), folder)


def _unpacked_bytes(wheel: str, block: int) -> int:
    """What the files of a wheel take on a file system of that block size."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sum(-(-member.file_size // block) * block for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise OSError("%s: %s" % (wheel, error)) from error


def _extract(wheel: str, folder: str) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                name = member.filename
                head, _, rest = name.partition("/")
                if head.endswith(".data"):
                    # NAME.data/purelib/... and /platlib/... belong beside the packages; scripts and headers don't.
                    kind, _, name = rest.partition("/")
                    if kind not in ("purelib", "platlib") or not name:
                        continue
                target = os.path.normpath(os.path.join(folder, name))
                if not target.startswith(folder + os.sep):
                    raise OSError("%s: a path leaves the folder: %s" % (wheel, member.filename))
                if member.is_dir():
                    continue
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as stream:
                    shutil.copyfileobj(source, stream, 1 << 20)
    except zipfile.BadZipFile as error:
        raise OSError("%s: %s" % (wheel, error)) from error
