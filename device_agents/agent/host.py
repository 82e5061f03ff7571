"""The host at the other end: shows it that the agent lives, hears whether it wants more, ends all when it is gone."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from typing import Callable, Optional

from .lines import Lines

_BEAT_S = 5.0
_LONGEST_LINE = 1 << 16


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
        self._answers: queue.Queue[int] = queue.Queue()

    def more(self) -> int:
        """How many processes more the host wants, once it was asked; 0 where it doesn't say within its silence."""
        try:
            return self._answers.get(timeout=self._silence_s)
        except queue.Empty:
            return 0

    def watch(self) -> None:
        """Starts both threads."""
        for work in (self._listen, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def _listen(self) -> None:
        # The descriptor, not sys.stdin: a thread that holds a stream's lock at exit makes the interpreter abort.
        rest = b""
        while True:
            data = os.read(self._requests, 4096)
            if not data:
                break
            self._heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                wanted = _wanted(line)
                if wanted is not None:
                    self._answers.put(wanted)
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


def _wanted(line: bytes) -> Optional[int]:
    """k of an answer {"more": k}; None for the empty lines by which the host only shows that it lives."""
    try:
        wanted = json.loads(line.decode())["more"]
        return max(0, int(wanted))
    except (ValueError, KeyError, TypeError):
        return None
