"""A project's git commits, and the bundle that each of them builds, by its own code, in a worktree of its own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from device_agents.bundle import Bundle, read_bundle
from edgewright.errors import BadArgument, EdgewrightError
from pipeline.project import Project

_BUILD_S = 6 * 3600.0
_GIT_S = 600.0
# What a hook's git or a person's shell may have set: it would point ours at another repository or index.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


class GitFailed(EdgewrightError):
    """Git could not do what was asked: no repository, no such commit, no room."""


class NotBuilt(EdgewrightError):
    """A commit does not give the bundle that is asked for."""


@dataclass(frozen=True)
class Commit:
    """id: 40 hex digits; title: the first line of its message."""

    id: str
    title: str

    @property
    def short(self) -> str:
        return self.id[:12]


def commits_between(project: Project, good: str, bad: str) -> list[Commit]:
    """The good commit, then those after it up to the bad one along first parents, oldest first. Raises GitFailed."""
    _top(project)
    first, last = _commit(project, good), _commit(project, bad)
    if _git(project.root, "merge-base", first, last).strip() != first:
        raise GitFailed(
            f"{good} is no ancestor of {bad}.",
            where=str(project.root),
            remedy=f"name an older --good: git merge-base {first[:12]} {last[:12]} shows where the two part",
        )
    form = ("log", "--no-show-signature", "--format=%H %s")
    listed = _git(project.root, *form, "-1", first) + _git(
        project.root, *form, "--reverse", "--first-parent", f"{first}..{last}"
    )
    lines = [line.partition(" ") for line in listed.split("\n") if line]
    return [Commit(id, title.strip()) for id, _, title in lines]


def named_in_tree(project: Project, name: str) -> str:
    """A recipe or target as a worktree's root has it: a name as it is, the path of a .toml file from the root.

    The path is as it was typed, from the working folder, else from the root. One outside the repository is the same
    for every commit, and comes back absolute. Raises GitFailed.
    """
    if not name.endswith(".toml"):
        return name
    typed = Path(name).expanduser()
    path = (typed if typed.is_file() else project.root / typed).resolve()
    if not path.is_relative_to(_top(project)):
        return str(path)
    return os.path.relpath(path, project.root.resolve())


@dataclass(frozen=True)
class Builds:
    """What is built at every commit. model, target: as named_in_tree gives them; variant None: the build's last one."""

    project: Project
    model: str
    target: str
    variant: str | None

    @classmethod
    def of(cls, project: Project, model: str, target: str, variant: str | None) -> Builds:
        """From what was typed. Raises GitFailed, BadArgument."""
        recipe = named_in_tree(project, model)
        if Path(recipe).is_absolute():
            raise BadArgument(
                "The recipe lies outside the project's repository, whose commits say nothing of it.",
                where=f"{recipe}, outside {_top(project)}",
                remedy=f"EDGEWRIGHT_ROOT={Path(recipe).parent} ./inv bisect ..., or the project's folder above it",
            )
        return cls(project, recipe, named_in_tree(project, target), variant)

    def bundle(self, commit: Commit) -> Bundle:
        """The bundle that a commit builds. Raises GitFailed, NotBuilt.

        What the commit has of Edgewright itself is what builds; the store is the project's, so nothing is built twice.
        """
        with _worktree(self.project, commit) as root, tempfile.TemporaryDirectory(prefix="edgewright-bisect-") as told:
            file = Path(told, "build.json")
            try:
                words = ["build", f"--model={self.model}", f"--target={self.target}", f"--json={file}"]
                _run(root, self.project, words)
                variants = json.loads(file.read_text())["variants"]
                folders = {name: Path(one["folder"]) for name, one in variants.items()}
            except (OSError, ValueError, LookupError, TypeError, AttributeError, subprocess.TimeoutExpired) as error:
                raise NotBuilt(
                    "It can't be built: the lines above say why.",
                    where=commit.short,
                    remedy=f"name another commit, or try it by hand: git checkout {commit.short}, ./inv build",
                ) from error
            name = self.variant or next(reversed(folders), "")
            if name not in folders:
                raise NotBuilt(
                    f"It builds no variant {name!r}: it has {', '.join(folders) or 'none'}.",
                    where=commit.short,
                    remedy="name one of them: --variant NAME",
                )
            return read_bundle(folders[name])


def _run(root: Path, project: Project, words: list[str]) -> None:
    """Edgewright in a worktree, to its end; it and all that it started are killed where we are told to stop."""
    environment = _environment() | {"EDGEWRIGHT_ROOT": str(root), "EDGEWRIGHT_STATE": str(project.state)}
    if (root / "edgewright" / "program.py").is_file():
        environment["PYTHONPATH"] = str(root)
    # The console script: it puts no folder of a person's, with a models/ of their own, before Edgewright's packages.
    script = str(Path(sys.executable).with_name("edgewright"))
    process = None
    try:
        with _signals_after():
            process = subprocess.Popen(
                [sys.executable, script, *words],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        process.wait(_BUILD_S)
    except BaseException:
        if process is not None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise


@contextmanager
def _signals_after() -> Iterator[None]:
    """What tells us to stop is heeded at the block's end: in the midst of a start nobody would know whom to kill."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda told, frame: came.append(told)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


@contextmanager
def _worktree(project: Project, commit: Commit) -> Iterator[Path]:
    """The project's root as it was in a commit; gone afterwards, and with it what killed runs left."""
    place = project.root.resolve().relative_to(_top(project))
    folder = project.state.resolve() / "bisect" / f"{commit.short}-{os.getpid()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _beside_others(project, folder.parent):
        try:
            # A person's hooks are for their own checkouts.
            _git(project.root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", str(folder), commit.id)
            yield folder / place
        finally:
            _remove(project, folder)


@contextmanager
def _beside_others(project: Project, parent: Path) -> Iterator[None]:
    """The kernel's lock on the folder of worktrees, shared; whoever is alone there takes away what was left."""
    file = os.open(parent, os.O_RDONLY)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in parent.iterdir():
                _remove(project, left)
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


def _remove(project: Project, folder: Path) -> None:
    # Not `worktree prune`, which would forget a person's own worktrees on a disk that is away.
    with suppress(GitFailed):
        _git(project.root, "worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _top(project: Project) -> Path:
    """The repository's own folder. Raises GitFailed."""
    try:
        return Path(_git(project.root, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()
    except GitFailed as error:
        error.remedy = error.remedy or "git init it, or leave out --commits: the ledger's bundles are taken then"
        raise


def _commit(project: Project, name: str) -> str:
    """Its 40 hex digits. Raises GitFailed."""
    try:
        return _git(project.root, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()
    except GitFailed as error:
        raise GitFailed(
            f"There is no commit {name!r}.", where=str(project.root), remedy="name one that git log shows"
        ) from error


def _git(root: Path, *words: str) -> str:
    """What git prints, whatever bytes it holds. Raises GitFailed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(f"git can't be run: {error}", where=str(root), remedy="install git") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitFailed(f"git failed: {said[-1] if said else f'it ended with {done.returncode}'}", where=str(root))
    return done.stdout.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
