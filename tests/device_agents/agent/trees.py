"""Small device trees for the tests of probes: files and programs under a root folder."""

from __future__ import annotations

from pathlib import Path


def write(root: Path, files: dict[str, str]) -> str:
    """Writes files under `root`; the root as the agent's --sysroot takes it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def program(root: Path, name: str, script: str) -> Path:
    """A shell script as a program of the device."""
    path = root / "usr/bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


RECORDED = ("pi4", "pi5", "orin-nano", "agx-orin", "xavier-nx", "pixel")


def recorded(board: str) -> str:
    """The tree of a board (tests/device_agents/agent/recorded) as the agent's --sysroot takes it."""
    return str(Path(__file__).with_name("recorded") / board)
