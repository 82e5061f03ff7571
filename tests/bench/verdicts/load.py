"""Other work beside a measurement: a process that computes in bursts, wherever the kernel puts it."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

_PROGRAM = """
import os, random, sys, time
parent, dice = int(sys.argv[1]), random.Random(5)
while os.getppid() == parent:
    until = time.monotonic() + dice.uniform(0.02, 0.6)
    while time.monotonic() < until:
        sum(i * i for i in range(5000))
    time.sleep(dice.uniform(0.02, 0.9))
"""


class Load:
    """In its block, one process works about four tenths of the time, in bursts of up to 0.6 s; on=False does nothing.

    It also ends by itself when this process dies."""

    def __init__(self, on: bool = True) -> None:
        self._on = on
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Load:
        import os

        if self._on:
            self._process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(os.getpid())])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
