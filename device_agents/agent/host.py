"""The host at the other end: shows it that the agent lives, and ends everything when the host is gone."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Callable

from .lines import Lines

_BEAT_S = 5.0


class Host:
    """Two threads. One drains stdin: EOF means that the host is gone. The other writes a beat every few seconds.

    `silence_s` seconds without a word from the host mean the same as EOF: a link can die without a FIN.
    """

    def __init__(self, requests: int, out: Lines, silence_s: float, stop: Callable[[], None]) -> None:
        """requests: the descriptor that the host writes to; stop: ends what must not outlive the agent."""
        self._requests = requests
        self._out = out
        self._silence_s = silence_s
        self._stop = stop
        self._heard = time.monotonic()

    def watch(self) -> None:
        """Starts both threads."""
        for work in (self._listen, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def _listen(self) -> None:
        # The descriptor, not sys.stdin: a thread that holds a stream's lock at exit makes the interpreter abort.
        while os.read(self._requests, 4096):
            self._heard = time.monotonic()
        self._gone("it closed the connection")

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT_S)
            silent = time.monotonic() - self._heard
            if silent > self._silence_s:
                self._gone("nothing heard from it for %.0f s" % silent)
            try:
                self._out.write("beat")
            except (OSError, ValueError):
                self._gone("nobody reads the answers")

    def _gone(self, why: str) -> None:
        # Not sys.exit: the main thread may be deep in a wait, and the lock must go free now.
        self._stop()
        try:
            sys.stderr.write("agent: the host is gone (%s); stopped\n" % why)
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
        os._exit(4)
