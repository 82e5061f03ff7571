"""The session's end of a worker process: asks, waits within limits on time and memory, and says how a worker died."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from . import memory


class Failed(Exception):
    """A variant's worker could not do what was asked; str() says why."""


class Handle:
    """One worker. Killed by `kill` from any thread; everything else belongs to the session's thread."""

    def __init__(self, root: str, deadline: float, memory_limit: Optional[int]) -> None:
        """root: the agent's folder; deadline: time.monotonic() after which a wait fails; memory_limit: bytes of the
        whole process, or None."""
        self._deadline = deadline
        self._limit = memory_limit
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable or "python3", "-I", sys.argv[0], "worker", "--root", root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        _alive.append(self)

    def ask(self, do: str, **fields: Any) -> Dict[str, Any]:
        """One request and its reply; raises Failed, after which the worker may be dead."""
        line = json.dumps(dict(fields, do=do, parent=os.getpid())).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._death()) from None
        while True:
            reply = json.loads(self._line(do).decode())
            if reply["kind"] == "failed":
                raise Failed(reply["message"])
            if reply["kind"] == "reply":
                del reply["kind"]
                return dict(reply)

    def _line(self, do: str) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self.kill()
                raise Failed("the job's time limit was reached while the worker was at %r" % do)
            # Without a memory limit there is nothing to look at, so the wait takes no time from the measured core.
            ready, _, _ = select.select([pipe], [], [], left if self._limit is None else min(left, 0.1))
            if ready:
                data = os.read(pipe, 1 << 16)
                if not data:
                    raise Failed(self._death())
                self._rest += data
            self._check_memory()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _check_memory(self) -> None:
        if self._limit is None:
            return
        used = memory.peak_bytes(self._process.pid)
        if used is not None and used > self._limit:
            self.kill()
            raise Failed("the worker was killed: it took %d bytes of memory, the limit is %d" % (used, self._limit))

    def _death(self) -> str:
        status = self._process.wait()
        if status >= 0:
            return "the worker ended by itself with status %d" % status
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = str(-status)
        hint = " (the kernel does that when memory runs out)" if name == "SIGKILL" else ""
        return "the worker was killed by %s%s" % (name, hint)

    def kill(self) -> None:
        """Ends the worker at once."""
        self._process.kill()

    def close(self) -> None:
        """Ends the worker, the gentle way first: it leaves when its stdin closes."""
        if self in _alive:
            _alive.remove(self)
        try:
            assert self._process.stdin is not None
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


_alive: List[Handle] = []


def kill_all() -> None:
    """Ends every worker at once; for when the host is gone."""
    for handle in list(_alive):
        handle.kill()
