"""A shell that stays on a device between requests: scripts go in on stdin, each answer ends with a marker."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from device_agents.connect.process import Process
from device_agents.errors import CommandTimedOut, LinkLost

if TYPE_CHECKING:
    from device_agents.connect.base import Connection


class Shell:
    """One `sh` on the device. What `run` sets with `here=True` (variables, open files, locks) lasts until `close`."""

    def __init__(self, connection: Connection) -> None:
        self._name = connection.name
        self._process: Process = connection.start(["sh"])
        # Random, so that nothing that a program prints can be taken for the end of its answer.
        self._marker = f"edgewright-{secrets.token_hex(8)}".encode()
        self._rest = b""

    def run(self, script: str, *, here: bool = False, timeout: float = 60.0) -> tuple[int, bytes]:
        """(exit status, what it wrote to stdout and stderr together) of a script, run in a subshell unless `here`.

        Raises CommandTimedOut, LinkLost; the shell is of no use after either.
        """
        opened, closed = ("{", "}") if here else ("(", ")")
        text = f"{opened} {script}\n{closed} </dev/null 2>&1; printf '\\n%s %s\\n' {self._marker.decode()} $?\n"
        with suppress(OSError):  # where it has ended, the answer says so
            self._process.send(text.encode())
        deadline = time.monotonic() + timeout
        parts = self._rest
        while True:
            begin = parts.find(b"\n" + self._marker + b" ")
            end = parts.find(b"\n", begin + 1) if begin >= 0 else -1
            if end >= 0:
                self._rest = parts[end + 1 :]
                return int(parts[begin:end].rpartition(b" ")[2]), parts[:begin]
            left = deadline - time.monotonic()
            if left <= 0:
                self.close()
                raise CommandTimedOut(
                    f"A command on {self._name} took longer than {timeout:.0f} s.",
                    where=_first_line(script),
                    remedy="look at the load of the device: ./inv devices.probe",
                )
            data = self._process.receive(min(left, 1.0))
            if data == b"":
                said = self._process.stderr().decode(errors="replace").strip().splitlines()
                self.close()
                raise LinkLost(
                    f"The connection to {self._name} broke in the middle of a command.",
                    where=said[-1][:300] if said else _first_line(script),
                    remedy="run the same command again; what was sent is kept",
                )
            parts += data or b""

    def close(self) -> None:
        """Ends it: its stdin gets EOF, and what it holds is free."""
        self._process.close()


def _first_line(script: str) -> str:
    return script.strip().partition("\n")[0][:200]
