"""The import contracts of pyproject.toml hold, and each of them notices the import that it is there to forbid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prerequisites import require

PACKAGES = ("edgewright", "models", "targets", "pipeline", "device_agents", "tasks")

# (the package that gets a module with a line that it must not have, the line, the contract that has to break)
OFFENCES = [
    ("targets", "import device_agents", "pipeline > device_agents > targets, and pipeline > models"),
    ("targets", "import models", "pipeline > device_agents > targets, and pipeline > models"),
    ("device_agents", "import pipeline", "pipeline > device_agents > targets, and pipeline > models"),
    ("device_agents", "import models", "pipeline > device_agents > targets, and pipeline > models"),
    ("models", "import pipeline", "pipeline > device_agents > targets, and pipeline > models"),
    ("models", "import device_agents", "pipeline > device_agents > targets, and pipeline > models"),
    ("models", "import targets", "Models know nothing of where they run"),
    ("pipeline", "import tasks", "Nothing below the tasks imports them, but the console script"),
    ("edgewright", "import tasks", "Nothing below the tasks imports them, but the console script"),
    ("edgewright", "import targets", "What everything shares imports nothing of the project"),
    ("device_agents", "import torch", "The device side needs no framework"),
    ("device_agents", "def late():\n    import onnxruntime", "The device side needs no framework"),
    ("device_agents.connect", "from onnx import checker", "The device side needs no framework"),
    ("device_agents.agent", "import tensorflow", "The device side needs no framework"),
    ("device_agents.agent", "from edgewright import files", "The agent imports nothing of the project"),
    ("device_agents.agent", "from device_agents import connect", "The agent imports nothing of the project"),
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    require(program.exists(), "import-linter is not installed: ./inv test installs it")
    env = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "300"}
    return subprocess.run([program, "--no-cache"], cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def sources(project_root: Path, tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(project_root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project_root / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold_for_the_project(sources: Path) -> None:
    done = lint_imports(sources)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_contracts_notice_every_forbidden_import(sources: Path) -> None:
    for number, (package, line, _) in enumerate(OFFENCES):
        (sources / package.replace(".", "/") / f"offence_{number}.py").write_text(f"{line}\n")
    done = lint_imports(sources)
    assert done.returncode != 0, done.stdout
    # Below the summary each broken contract has its name, underlined, and then the imports that broke it.
    parts = re.split(r"^(.+)\n-{5,}$", done.stdout, flags=re.MULTILINE)
    broken = dict(zip(parts[1::2], parts[2::2], strict=True))
    for number, (package, line, contract) in enumerate(OFFENCES):
        assert f"{contract} BROKEN" in done.stdout
        assert f"{package}.offence_{number} ->" in broken[contract], f"{package}: {line} was not noticed"
