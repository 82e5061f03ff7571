"""A project's git commits, and the bundle that each of them builds, by its own code, in a worktree of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from device_agents.bundle import Bundle, read_bundle
from edgewright.errors import EdgewrightError
from pipeline.project import Project

_BUILD_S = 6 * 3600.0


class GitFailed(EdgewrightError):
    """Git could not do what was asked: no repository, no such commit."""


@dataclass(frozen=True)
class Commit:
    """id: 40 hex digits; title: the first line of its message."""

    id: str
    title: str


def commits_between(project: Project, good: str, bad: str) -> list[Commit]:
    """The good commit, then those after it up to the bad one along first parents, oldest first. Raises GitFailed."""
    first = _git(project.root, "rev-parse", "--verify", "--end-of-options", f"{good}^{{commit}}").strip()
    last = _git(project.root, "rev-parse", "--verify", "--end-of-options", f"{bad}^{{commit}}").strip()
    listed = _git(project.root, "log", "--reverse", "--first-parent", "--format=%H %s", f"{first}..{last}")
    title = _git(project.root, "log", "-1", "--format=%s", first).strip()
    return [Commit(first, title), *(Commit(*line.split(" ", 1)) for line in listed.splitlines())]


def tree_bundle(project: Project, commit: str, model: str, target: str, variant: str | None) -> Bundle | None:
    """The bundle that a commit builds; None where it can't be built. variant None: the build's last one.

    What the commit has of Edgewright itself is what builds; the store is the project's, so nothing is built twice.
    """
    with _worktree(project, commit) as root, tempfile.TemporaryDirectory(prefix="edgewright-bisect-") as folder:
        told = Path(folder, "build.json")
        environment = os.environ | {"EDGEWRIGHT_ROOT": str(root), "EDGEWRIGHT_STATE": str(project.state)}
        if (root / "edgewright" / "program.py").is_file():
            environment["PYTHONPATH"] = str(root)
        words = [*_program(), "build", "--model", model, "--target", target, "--json", str(told)]
        try:
            subprocess.run(words, cwd=root, env=environment, check=False, timeout=_BUILD_S, stdout=subprocess.DEVNULL)
            variants = json.loads(told.read_text())["variants"]
            chosen = variants[variant] if variant else list(variants.values())[-1]
            return read_bundle(Path(chosen["folder"]))
        except (OSError, ValueError, LookupError, subprocess.TimeoutExpired, EdgewrightError):
            return None


@contextmanager
def _worktree(project: Project, commit: str) -> Iterator[Path]:
    """The project's root as it was in a commit; gone afterwards."""
    top = Path(_git(project.root, "rev-parse", "--show-toplevel").strip())
    folder = project.state / "bisect" / f"{commit[:12]}-{os.getpid()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    _git(project.root, "worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        yield folder / project.root.resolve().relative_to(top.resolve())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _git(project.root, "worktree", "prune")


def _program() -> list[str]:
    """The console script beside this interpreter: it puts no folder before the commit's own code."""
    script = Path(sys.executable).with_name("edgewright")
    return [str(script)] if script.exists() else [sys.executable, "-P", "-m", "edgewright.program"]


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(f"git can't be run: {error}", where=str(root), remedy="install git") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise GitFailed(
            f"git {words[0]} failed: {said[-1] if said else done.returncode}",
            where=str(root),
            remedy="name commits that git log shows",
        )
    return done.stdout
