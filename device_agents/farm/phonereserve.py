"""A phone's reservation: the same file by the same rules (agent/reserve.py), read and written by the phone's shell."""

from __future__ import annotations

import json
import posixpath
import time
from shlex import quote
from typing import Any

from device_agents.agent.probes.source import decimal
from device_agents.agent.reserve import FILE, FOLDER, in_force, is_of, new, parsed
from device_agents.connect.base import Connection
from device_agents.connect.shell import Shell
from device_agents.connect.shellplace import os_error
from device_agents.errors import DeviceFolderError
from device_agents.farm.phonelock import PhoneLock
from device_agents.farm.reservation import Reservation, me, refusal

_WAIT_S = 10.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"

Told = dict[str, Any]


def standing(shell: Shell, root: str) -> Told | None:
    """The reservation in force, with "left_s"; None where there is none. Raises LinkLost, CommandTimedOut."""
    _, said = shell.run(f"cat {quote(_path(root))} 2>/dev/null; exit 0")
    return in_force(parsed(said.decode(errors="replace")), time.time(), *_since_start(shell))


def refuse(shell: Shell, name: str, root: str) -> Told | None:
    """The reservation in force, where it is one's own. Raises DeviceReserved where somebody else has the phone."""
    found = standing(shell, root)
    if found is not None and not is_of(found, me()):
        raise refusal(name, _path(root), Reservation.told(found))
    return found


def reserve(connection: Connection, root: str, seconds: float, note: str) -> Told:
    """Makes the reservation, in place of one's own. Raises DeviceReserved, DeviceBusy, DeviceFolderError, LinkLost."""
    path = _path(root)
    part = quote(f"{path}.part")
    with _Alone(connection, root) as shell:
        refuse(shell, connection.name, root)
        made = new(me(), seconds, note, time.time(), *_since_start(shell))
        # No sync, as for every file on a phone: it writes all back where it is shut down or its battery goes flat.
        status, said = shell.run(
            f"printf %s {quote(json.dumps(made))} > {part} && mv -f {part} {quote(path)} || {{ rm -f {part}; exit 1; }}"
        )
    if status != 0:
        raise DeviceFolderError(
            f"The reservation can't be written on {connection.name}: {os_error(said).strerror}",
            where=path,
            remedy='free some space on it, or set root = "/a/writable/folder" for it in farm.toml',
        )
    return {**made, "left_s": seconds}


def release(connection: Connection, root: str, anyway: bool = False) -> Told | None:
    """Takes a reservation away; the one that was in force. Raises DeviceReserved, DeviceBusy, DeviceFolderError."""
    with _Alone(connection, root) as shell:
        found = standing(shell, root) if anyway else refuse(shell, connection.name, root)
        status, said = shell.run(f"rm -f {quote(_path(root))}")
    if status != 0:
        raise DeviceFolderError(
            f"The reservation can't be removed on {connection.name}: {os_error(said).strerror}",
            where=_path(root),
            remedy="remove that file by hand",
        )
    return found


class _Alone(PhoneLock):
    """One process at a time that changes the reservation, by a lock of its own: the phone's is held by the job."""

    def __init__(self, connection: Connection, root: str) -> None:
        folder = posixpath.join(root, FOLDER)
        connection.mkdir(folder)
        super().__init__(connection, folder, {**me(), "what": "its reservation"}, _WAIT_S)


def _since_start(shell: Shell) -> tuple[str | None, float | None]:
    """(which start of the phone this is, seconds since then); None for what its shell may not read."""
    _, said = shell.run(f'echo "$(cat {_BOOT_ID} 2>/dev/null)"; echo "$(cat /proc/uptime 2>/dev/null)"; exit 0')
    boot_id, uptime = [*said.decode(errors="replace").split("\n"), "", ""][:2]
    return boot_id.strip() or None, decimal(uptime.split(" ")[0])


def _path(root: str) -> str:
    return posixpath.join(root, FOLDER, FILE)
