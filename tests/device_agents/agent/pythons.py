"""The Pythons that this machine has for trying the agent under."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def python(minor: int) -> str | None:
    """A Python 3.`minor` that runs, from PATH or pyenv; None where there is none."""
    candidates = [shutil.which(f"python3.{minor}") or ""]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        candidates += map(str, Path(root, "versions").glob(f"3.{minor}.*/bin/python3.{minor}"))
    for candidate in filter(None, candidates):
        # pyenv's shims are on PATH for versions that aren't selected: only running one tells.
        told = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=False
        )
        if told.returncode == 0 and int(told.stdout) == minor:
            return candidate
    return None


HOW = "no Python 3.{0} here: install it (pyenv install 3.{0}, or apt-get install python3.{0})"
