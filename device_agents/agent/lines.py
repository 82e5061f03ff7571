"""JSON lines on a stdout of our own: what a library prints to descriptor 1 goes to stderr and breaks no protocol."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, BinaryIO


class Lines:
    """Writes one JSON object a line, whole lines only, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    @classmethod
    def on_stdout(cls) -> Lines:
        """Takes descriptor 1 for itself and points what is left of it at stderr."""
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        return cls(os.fdopen(own, "wb"))

    def write(self, kind: str, **fields: Any) -> None:
        """One line {"kind": kind, ...}; raises BrokenPipeError where nobody reads any more."""
        line = json.dumps(dict(fields, kind=kind), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()

    def end(self, ok: bool, **fields: Any) -> None:
        """The closing marker: a reader that never sees it knows that the agent was lost."""
        self.write("end", ok=ok, **fields)
