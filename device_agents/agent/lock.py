"""The device's lock: a kernel lock (flock) that dies with the process that holds it, so nobody can lose it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Dict, Optional, Type


class Busy(Exception):
    """Someone else holds the lock; `holder` is what they wrote about themselves, or {} where it can't be read."""

    def __init__(self, holder: Dict[str, Any]) -> None:
        super().__init__("the device is busy")
        self.holder = holder


class Lock:
    """`with Lock(root, holder, wait_s):` holds <root>/lock; raises Busy where it isn't free within `wait_s` seconds."""

    def __init__(self, root: str, holder: Dict[str, Any], wait_s: float = 0.0) -> None:
        self._path = os.path.join(root, "lock")
        self._holder = holder
        self._wait_s = wait_s
        self._file = -1

    def __enter__(self) -> Lock:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        # Never unlinked: two processes with two files of one name would both hold "the" lock.
        # Not inheritable (Python's default), so that a worker that outlives the agent doesn't keep it.
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    held_by = _read(self._file)
                    os.close(self._file)
                    raise Busy(held_by) from None
                time.sleep(0.2)
        os.ftruncate(self._file, 0)
        with suppress(OSError):  # a full disk: who holds it is not told, the lock holds all the same
            os.pwrite(self._file, json.dumps(self._holder).encode(), 0)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(root: str) -> Optional[Dict[str, Any]]:
    """Who holds the lock now; None where it is free (what a dead holder left in the file doesn't count)."""
    try:
        handle = os.open(os.path.join(root, "lock"), os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    finally:
        os.close(handle)
    return None


def _read(handle: int) -> Dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, 65536, 0).decode())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
