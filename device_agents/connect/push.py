"""Putting a file on a device: nothing sent twice, resumed after a cut, checked there, in place by one rename.

The steps are those of agent/place.py on the device; only `Connection.append` differs between ways of connecting.
"""

from __future__ import annotations

import errno
import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.errors import DeviceFolderError, NoRoom, PushFailed
from edgewright.progress import Progress, Silent, piece

if TYPE_CHECKING:
    from device_agents.connect.base import Connection

# What must stay free beside the file: manifests, the lock, the runtime's own temporary files.
MARGIN_BYTES = 8 << 20
TRIES = 3
"""Of a push whose file goes away under it."""


def push(connection: Connection, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> int:
    """Puts `local` at `remote`; returns the bytes sent, 0 where a file with that digest is there already.

    Raises NoRoom, PushFailed, DeviceFolderError, LinkLost. Whatever happens, `remote` is the whole file or untouched.
    """
    moved = 0
    for _ in range(TRIES):
        sent, done = _try(connection, local, remote, sha256, progress or Silent())
        moved += sent
        if done["whole"]:
            return moved
        if done["sha256"]:
            raise PushFailed(
                f"{local.name} arrived on {connection.name} other than it was sent; it was thrown away there.",
                where=f"{remote}: sha256 {done['sha256']}, expected {sha256}",
                remedy="run the same command again; if it comes back, check the device's memory and disk",
            )
    raise PushFailed(
        f"{local.name} went away on {connection.name} while it was sent, {TRIES} times.",
        where=remote,
        remedy="see what else empties the agent's folder there, then run the same command again",
    )


def _try(
    connection: Connection, local: Path, remote: str, sha256: str, progress: Progress
) -> tuple[int, dict[str, Any]]:
    """The bytes sent, and the device's last word: whether the file is whole, and the digest of what came, "" where it
    was gone: another push of the same content that found no room takes it for a leftover."""
    size = local.stat().st_size
    plan = _plan(connection, remote, sha256, size)
    if plan["present"]:
        return 0, {"whole": True}
    sent = _agreed_prefix(local, plan)
    temporary = str(plan["temporary"])
    if sent != plan["sent"]:
        connection.remove(temporary)
    if size - sent > plan["free"] - MARGIN_BYTES:
        connection.remove(temporary)
        raise _no_room(connection, remote, size - sent, int(plan["free"]))
    with piece(progress, f"send {local.name}", size) as shown:
        shown.advance(sent)
        try:
            connection.append(local, temporary, sent, shown.advance)
        except OSError as error:
            raise _write_error(connection, error, remote, temporary, size) from error
    try:
        done = connection.place(do="commit", path=remote, sha256=sha256, temporary=temporary)
    except OSError as error:
        raise _write_error(connection, error, remote, temporary, size) from error
    return size - sent, done


def _plan(connection: Connection, remote: str, sha256: str, size: int) -> dict[str, Any]:
    try:
        return connection.place(
            do="plan", path=remote, sha256=sha256, size=size, token=secrets.token_hex(8), margin=MARGIN_BYTES
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_room(connection, remote, size, 0) from error
        raise DeviceFolderError(
            f"The agent's folder on {connection.name} can't be used: {error.strerror or error}",
            where=remote,
            remedy='set root = "/a/writable/folder" for it in farm.toml',
        ) from error


def _agreed_prefix(local: Path, plan: dict[str, Any]) -> int:
    """How much of the file the device holds from an earlier try, as far as its digest agrees with ours."""
    sent = int(plan["sent"])
    digest = hashlib.sha256()
    left = sent
    with local.open("rb") as stream:
        while left and (chunk := stream.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    return sent if digest.hexdigest() == plan["prefix_sha256"] else 0


def _no_room(connection: Connection, remote: str, needed: int, free: int) -> NoRoom:
    return NoRoom(
        f"{connection.name} has no room: {needed / 1e6:.1f} MB more are needed "
        f"(and {MARGIN_BYTES / 1e6:.0f} MB to spare), {free / 1e6:.1f} MB are free.",
        where=remote,
        remedy='free some space on the device, or set root = "/a/roomier/folder" for it in farm.toml',
    )


def _write_error(connection: Connection, error: OSError, remote: str, temporary: str, size: int) -> NoRoom | PushFailed:
    """SFTP says no more than "Failure" of a full disk, so the device is asked how full it is."""
    free = int(connection.place(do="free", path=remote.rpartition("/")[0] or "/")["free"])
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or free < MARGIN_BYTES:
        connection.remove(temporary)
        return _no_room(connection, remote, size, free)
    connection.remove(temporary)
    return PushFailed(
        f"A file can't be written on {connection.name}: {error.strerror or error or type(error).__name__}",
        where=remote,
        remedy="check the agent's folder on the device (its owner, its quota), then run the same command again",
    )
