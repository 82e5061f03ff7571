"""Disks that get full: a small file system, and what fills it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.prerequisites import require


class Filler:
    """Takes all the room of a file system, and what becomes free again, until `stop`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _fill(self) -> None:
        with self._file.open("wb", buffering=0) as stream:
            while not self._over.wait(0.002):
                with suppress(OSError):
                    stream.write(bytes(1 << 20))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._file.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of so many MB at `folder`, gone with the block."""
    require(os.geteuid() == 0, "a small file system needs root (mount -t tmpfs)")
    folder.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=False)
    require(made.returncode == 0, "this machine doesn't let root mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
