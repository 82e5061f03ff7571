"""Listing the tasks loads no framework: seen in sys.modules, not by the clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "alembic",
    "cryptography",
    "jinja2",
    "numpy",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "onnxscript",
    "paramiko",
    "pydantic",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "tensorflow",
    "torch",
    "torch_pruning",
}

STARTS = {
    "import tasks": "import tasks",
    "import edgewright": "from edgewright import errors, files, program, progress",
    "inv --list": (
        "import sys; sys.argv = ['inv', '--search-root', ROOT, '--list']\nfrom edgewright.program import main\nmain()"
    ),
    "edgewright --list": "import sys; sys.argv = ['edgewright', '--list']\nfrom edgewright.program import main\nmain()",
}


def loaded_after(code: str, root: Path) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `code`."""
    script = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules}))))\n"
        f"ROOT = {str(root)!r}\nsys.path.insert(0, ROOT)\n{code}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


LEDGER = "import sys; sys.argv = ['edgewright', 'ledger']\nfrom edgewright.program import main\nmain()"


def test_ledger_that_is_up_to_date_is_listed_without_a_framework(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(tmp_path))
    monkeypatch.delenv("EDGEWRIGHT_LEDGER", raising=False)
    assert "alembic" in loaded_after(LEDGER, project_root)  # the first one makes it
    assert loaded_after(LEDGER, project_root) & HEAVY <= {"sqlalchemy", "pydantic"}


@pytest.mark.parametrize("start", STARTS)
def test_start_loads_no_framework(start: str, project_root: Path) -> None:
    assert loaded_after(STARTS[start], project_root) & HEAVY == set()


def test_loaded_after_sees_a_heavy_import(project_root: Path) -> None:
    assert "rich" in loaded_after("import rich", project_root)
