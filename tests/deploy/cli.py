"""Runs the project's tasks as a person does, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A board that runs ONNX alone: these tests convert nothing to TFLite.
BOARD = str(ROOT / "tests" / "onnx.toml")
# 4: the report is invalid, since this machine was too busy with other things; not what these tests are about.
FINISHED = (0, 4)


@dataclass(frozen=True)
class Ended:
    """How a command ended. text: stdout and stderr together."""

    status: int
    text: str

    def assert_plain(self) -> None:
        """It failed with a message and no traceback."""
        assert self.status not in (0, None), self.text
        assert "Traceback" not in self.text, self.text
        assert "error:" in self.text, self.text
        assert "next:" in self.text, self.text


PROGRAM = "edgewright.program"
SHORT = "tests.deploy.short"
"""The same program, whose deploys and nights measure and wait for less long."""


def environment(state: Path, **more: str) -> dict[str, str]:
    """The environment of a task whose state lies in `state`; one thread, so that cores are shared."""
    given = {"EDGEWRIGHT_ROOT": str(ROOT), "EDGEWRIGHT_STATE": str(state), "OMP_NUM_THREADS": "1"}
    return {**os.environ, "PYTHONPATH": str(ROOT), **given, **more}


def command(*words: str, program: str = PROGRAM) -> list[str]:
    return [sys.executable, "-m", program, "--search-root", str(ROOT), *words]


def start(state: Path, *words: str, program: str = PROGRAM, **more: str) -> subprocess.Popen[str]:
    """Starts a task in a process group of its own, so that it can be killed with all that it started."""
    return subprocess.Popen(
        command(*words, program=program),
        env=environment(state, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(state: Path, *words: str, timeout: float = 600, program: str = PROGRAM, **more: str) -> Ended:
    """Runs a task to its end."""
    done = subprocess.run(
        command(*words, program=program),
        env=environment(state, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return Ended(done.returncode, done.stdout)
