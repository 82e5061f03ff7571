"""The agent's zipapp: small, the same every time, and free of the project."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from device_agents.pack import agent, place_source, stripped

MOST_BYTES = 64 << 10
ROOM = 3 << 10
"""What the next things that an agent learns may take."""


def test_agent_is_smaller_than_64_kib_with_room_to_spare() -> None:
    assert 4096 < len(agent().data) < MOST_BYTES - ROOM


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


SOURCE = b'''"""What it is for.

Over several lines, \xc3\xbc.
"""
from __future__ import annotations

TEXT = "# no comment"  # a comment
LONG = """
# nor this one
"""
"""What LONG is."""


class Empty(Exception):
    """Has no other body."""


def broken() -> None:
    """Says what it does."""
    # why
    raise Empty(TEXT + LONG)  # here
'''


def test_stripped_source_does_the_same_on_the_same_lines() -> None:
    lean = stripped(SOURCE)
    for gone in (b"a comment", b"# why", b"here", b"What", b"Says", b"Has no"):
        assert gone not in lean
    namespace: dict[str, object] = {}
    exec(compile(lean, "lean.py", "exec"), namespace)
    assert namespace["TEXT"] == "# no comment"
    assert namespace["LONG"] == "\n# nor this one\n"
    with pytest.raises(Exception, match="# nor this one") as caught:
        namespace["broken"]()  # type: ignore[operator]
    assert caught.traceback[-1].lineno + 1 == SOURCE.split(b"\n").index(b"    raise Empty(TEXT + LONG)  # here") + 1


def test_every_stripped_module_has_the_statements_of_its_source(project_root: Path) -> None:
    def statements(source: bytes) -> list[tuple[str, int]]:
        found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
        return [(type(node).__name__, node.lineno) for node in found]

    for path in (project_root / "device_agents" / "agent").rglob("*.py"):
        source = path.read_bytes()
        assert statements(stripped(source)) == statements(source), path


def test_program_before_the_agent_names_file_and_line_where_it_fails() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", place_source()], input=b"no request\n", capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b'File "place.py", line' in done.stderr
