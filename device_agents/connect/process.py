"""Commands under way on a device, and the one that stays there to answer the requests of pushes."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from device_agents.pack import place_source

# Reads the program off stdin: no argument grows long, and a login shell that mangles newlines has none to mangle.
PLACE_BOOT = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())), 'place.py', 'exec'))"
# Digests of big files on a slow card take their time.
_ANSWER_S = 600.0


@dataclass(frozen=True)
class Completed:
    """A command that ended. status: its exit status, -1 where it was killed or lost; never take -1 for success."""

    status: int
    stdout: bytes
    stderr: bytes


class Process(ABC):
    """A command under way on the device."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Bytes to its stdin; raises OSError where it no longer listens."""

    @abstractmethod
    def close_input(self) -> None:
        """EOF on its stdin."""

    @abstractmethod
    def receive(self, timeout: float) -> bytes | None:
        """What it wrote to stdout: b"" at the end, None where nothing came within `timeout` seconds."""

    @abstractmethod
    def stderr(self) -> bytes:
        """The last 64 KiB that it wrote to stderr so far."""

    @abstractmethod
    def wait(self, timeout: float) -> int:
        """Its exit status; -1 where it was killed or lost, or doesn't end within `timeout` seconds."""

    @abstractmethod
    def close(self) -> None:
        """Ends it and frees what it holds; its stdin gets EOF."""


class Placer:
    """agent/place.py as it runs on a device: a login shell and a Python for every request would take most of a push."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._rest = b""
        self._asked = 0
        source = place_source()
        # A command that isn't there reads nothing; `ask` finds that out.
        with suppress(OSError):
            process.send(b"%d\n" % len(source) + source)

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, {"ok": bool, ...}; None where the program ended instead. Anything else it says is passed over."""
        self._asked += 1
        with suppress(OSError):
            self._process.send(json.dumps({**request, "id": self._asked}).encode() + b"\n")
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            data = self._process.receive(1.0)
            if data == b"":
                return None
            *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
            for line in lines:
                with suppress(ValueError):
                    answer = json.loads(line)
                    if isinstance(answer, dict) and answer.get("id") == self._asked and "ok" in answer:
                        return answer
        return None

    def end(self) -> Completed:
        """Ends the program; how it ended."""
        self._process.close_input()
        status = self._process.wait(3.0)
        errors = self._process.stderr()
        self._process.close()
        return Completed(status, b"", errors)
