"""Where readings come from: files and programs under a root folder, so that recorded trees of boards can be read."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from typing import Callable, Dict, List, Optional, TypeVar

MOST_SECONDS = 5.0
MOST_BYTES = 1 << 18

_T = TypeVar("_T")


class Garbled(Exception):
    """A sensor is there, and what it gives is no reading: never taken for "there is none"."""


def read_text(sysroot: str, path: str) -> Optional[str]:
    """A file under `sysroot` without its closing newline or NUL; None where it can't be read."""
    try:
        with open(os.path.join(sysroot, path), encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\x00\n ")
    except OSError:
        return None


def number(text: Optional[str]) -> Optional[int]:
    """A whole number in decimal as the kernel writes one; None for anything else."""
    return int(text) if text is not None and re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()) else None


def decimal(text: str) -> Optional[float]:
    """A finite decimal number; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parsed(text: Optional[str], parse: Callable[[str], Optional[_T]]) -> Optional[_T]:
    """What `parse` makes of a text; None where there is no text. Raises Garbled where it makes nothing of it."""
    if text is None:
        return None
    found = parse(text)
    if found is None:
        raise Garbled(text[:80])
    return found


def program(sysroot: str, name: str) -> Optional[str]:
    """Path of a program on this device; under another root only there, never this machine's own."""
    if sysroot == "/":
        # An agent started over SSH often has no /usr/sbin on its PATH, where nvpmodel lies.
        return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/opt/vc/bin:/system/bin")
    for folder in ("usr/bin", "usr/sbin", "bin", "system/bin"):
        path = os.path.join(sysroot, folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


class Programs:
    """Runs the device's own programs, each for 5 s at most; one that hung once is not run again."""

    def __init__(self, sysroot: str) -> None:
        self._sysroot = sysroot
        self._hung: Dict[str, bool] = {}

    def ask(self, name: str, *arguments: str) -> Optional[str]:
        """What the program printed; None where there is no such program. Raises Garbled where it fails or hangs."""
        path = program(self._sysroot, name)
        if path is None:
            return None
        if self._hung.get(name):
            raise Garbled(name + " hangs")
        return run([path, *arguments], lambda: self._hung.update({name: True}))


def run(command: List[str], hung: Callable[[], None] = lambda: None) -> str:
    """Standard output of a command that ended well. Raises Garbled; calls `hung` first where it took too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        hung()
        raise Garbled("%s took more than %d s" % (command[0], MOST_SECONDS)) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Garbled(str(error)) from error
    if done.returncode != 0:
        raise Garbled("%s ended with status %d" % (command[0], done.returncode))
    return done.stdout[:MOST_BYTES].decode("utf-8", "replace")
