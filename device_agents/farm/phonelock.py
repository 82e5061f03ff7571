"""A phone's lock: a kernel lock that the phone's own shell holds, and that dies with it; no Python is needed there."""

from __future__ import annotations

import json
import posixpath
import time
from shlex import quote
from types import TracebackType
from typing import Any

from device_agents.connect.base import Connection
from device_agents.connect.shell import Shell
from device_agents.connect.shellplace import os_error
from device_agents.errors import AgentFailed, DeviceBusy, DeviceFolderError

# Handed on by name: Android's shell keeps files that `exec` opened from the commands that it starts.
HELD = "9<&9"
_BUSY, _NO_FLOCK, _NO_FILE = 73, 74, 75


class PhoneLock:
    """`with PhoneLock(...) as shell:` holds <root>/lock for as long as that shell, or what it runs `HELD`, lives.

    Where this side is killed or the phone is unplugged, adb hangs up on the shell: the lock is free once the run that
    is under way has ended. Raises DeviceBusy where it isn't free within `wait_s` seconds, DeviceFolderError, LinkLost.
    """

    def __init__(self, connection: Connection, root: str, holder: dict[str, Any], wait_s: float = 0.0) -> None:
        self._connection = connection
        self._path = posixpath.join(root, "lock")
        self._holder = holder
        self._wait_s = wait_s
        self._shell: Shell | None = None

    def __enter__(self) -> Shell:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        shell = self._shell = Shell(self._connection)
        try:
            deadline = time.monotonic() + self._wait_s
            while (held := _take(shell, self._path)) is not None:
                if time.monotonic() >= deadline:
                    raise DeviceBusy(
                        f"{self._connection.name} is busy: {held.get('who', 'someone')} on "
                        f"{held.get('host', 'another machine')} has measured {held.get('what', 'something')} there "
                        f"since {held.get('since', 'a while')}.",
                        where=self._path,
                        remedy="wait for it to end, then run the same command again",
                        holder=held,
                    )
                time.sleep(0.5)
            # In place, never a new file: two files of one name would be two locks.
            shell.run(f"printf %s {quote(json.dumps({**self._holder, 'since': since}))} > {quote(self._path)}")
        except BaseException:
            shell.close()
            raise
        return shell

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shell is not None:
            if error is None:
                self._shell.run(f": > {quote(self._path)}")
            self._shell.close()


def holder(connection: Connection, root: str) -> dict[str, Any] | None:
    """Who holds the phone's lock now; None where it is free (what a dead holder left in the file doesn't count)."""
    shell = Shell(connection)
    try:
        return _take(shell, posixpath.join(root, "lock"))
    finally:
        shell.close()


def _take(shell: Shell, path: str) -> dict[str, Any] | None:
    """None where the lock is this shell's now; else what its holder wrote about itself, {} where that is no JSON."""
    file = quote(path)
    status, said = shell.run(
        f"if ! command -v flock >/dev/null; then (exit {_NO_FLOCK})\n"
        # Tried in a subshell first: a shell whose own `exec` fails ends.
        f"elif ! ( : >> {file} ); then (exit {_NO_FILE})\n"
        f"elif exec 9<>{file}; flock -n 9 {HELD}; then :\n"
        f"else cat {file}; (exit {_BUSY}); fi",
        here=True,
    )
    if status == 0:
        return None
    if status == _NO_FILE:
        error = os_error(said)
        raise DeviceFolderError(
            f"The phone's folder can't be written: {error.strerror}",
            where=path,
            remedy='set root = "/a/writable/folder" for it in farm.toml (/data/local/tmp/edgewright is the usual one)',
        )
    if status != _BUSY:
        raise AgentFailed(
            "The phone has no flock, without which two people could measure at the same time: "
            + said.decode(errors="replace").strip()[-200:],
            where=path,
            remedy="take a phone with Android 8 or later, or Termux over SSH (docs/android.md)",
        )
    try:
        found = json.loads(said.decode(errors="replace"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
