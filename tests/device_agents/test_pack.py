"""The agent's zipapp: small, the same every time, and free of the project."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from device_agents.pack import agent

MOST_BYTES = 64 << 10


def test_agent_is_smaller_than_64_kib() -> None:
    assert 4096 < len(agent().data) < MOST_BYTES


def test_agent_is_the_same_bytes_every_time(project_root: Path) -> None:
    code = "from device_agents.pack import agent; print(agent().sha256)"
    seeds = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=project_root, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert seeds == [agent().sha256] * 2


def test_agent_imports_the_standard_library_and_itself_only() -> None:
    """At the top of its modules; what a runtime needs is imported inside functions."""
    with zipfile.ZipFile(io.BytesIO(agent().data)) as archive:
        sources = {name: archive.read(name).decode() for name in archive.namelist()}
    assert any(name.endswith("session.py") for name in sources)
    for name, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                assert module.split(".")[0] in {*sys.stdlib_module_names, "edgewright_agent"}, f"{name}: {module}"
