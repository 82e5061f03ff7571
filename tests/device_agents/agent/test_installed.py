"""`agent runtime`: what works and what doesn't, told before any job, under the Pythons that devices have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from device_agents.pack import agent
from tests.device_agents.agent.pythons import HOW, python
from tests.prerequisites import require


def _ask(interpreter: str, folder: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    packed = folder / "agent.pyz"
    packed.write_bytes(agent().data)
    command = [interpreter, "-I", str(packed), "runtime", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, env={**os.environ, **variables})
    found, end = (json.loads(line) for line in done.stdout.splitlines())
    assert end == {"kind": "end", "ok": True}
    return dict(found)


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "torch"])
def test_runtime_that_is_here_works_and_says_its_version(tmp_path: Path, name: str) -> None:
    found = _ask(sys.executable, tmp_path, "--name", name)
    assert found["problem"] is None
    assert found["versions"]["version"][0].isdigit()
    assert found["versions"]["numpy"][0].isdigit()
    assert ("CPUExecutionProvider" in found["providers"]) == (name == "onnxruntime")


@pytest.mark.parametrize("minor", [8, 9, 10, 11, 12, 13])
def test_python_without_numpy_is_told_where_numpy_is(tmp_path: Path, minor: int) -> None:
    """A virtual environment of its own has nothing, whatever this Python has."""
    interpreter = python(minor)
    require(interpreter, HOW.format(minor))
    assert interpreter is not None
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    bare = str(tmp_path / "venv" / "bin" / "python")
    found = _ask(bare, tmp_path, "--name", "tflite-runtime", PYTHONUSERBASE=str(tmp_path))
    assert found["problem"] == "numpy is missing"
    assert found["remedy"] == "apt-get install python3-numpy"


def test_runtime_that_is_not_installed_is_told(tmp_path: Path) -> None:
    found = _ask(sys.executable, tmp_path, "--name", "tflite-runtime")
    assert found["problem"] == f"tflite-runtime is not installed for {sys.executable}"


def test_broken_runtime_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").write_text("__version__ = '0'\n")
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text("import nonsense_that_is_not_there\n")
    found = _ask(sys.executable, tmp_path, "--name", "tflite-runtime", "--folder", str(tmp_path))
    assert "nonsense_that_is_not_there is missing" in found["problem"]
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text("raise OSError('libx.so:\\n no such file')\n")
    found = _ask(sys.executable, tmp_path, "--name", "tflite-runtime", "--folder", str(tmp_path))
    assert "does not work: OSError: libx.so: no such file" in found["problem"]


def test_unknown_runtime_is_told(tmp_path: Path) -> None:
    assert "no adapter" in _ask(sys.executable, tmp_path, "--name", "nonsense")["problem"]
