"""A project's commits, in real git repositories: which there are, what each builds, and what is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle
from edgewright.errors import BadArgument
from pipeline import commits
from pipeline.commits import Builds, Commit, GitFailed, NotBuilt, commits_between, named_in_tree
from pipeline.project import Project
from tests.device_agents.tiny import tiny_bundle

ME = ["-c", "user.name=me", "-c", "user.email=me@here", "-c", "commit.gpgsign=false"]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *ME, *words], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace").strip()


def commit(folder: Path, title: str | bytes) -> str:
    git(folder, "add", "-A")
    subprocess.run(
        ["git", "-C", str(folder), *ME, "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-F", "-"],
        input=title.encode() if isinstance(title, str) else title,
        check=True,
    )
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    """A repository with one commit, whose folder `own` is the project's root."""
    root = tmp_path / "repository" / "own"
    (root / "models").mkdir(parents=True)
    git(root.parent, "init", "-q", "-b", "main")
    (root / "models" / "mine.toml").write_text("one = 1\n")
    commit(root, "first")
    return Project(root, state, tmp_path / "cache", None)


def test_commits_come_oldest_first_along_first_parents(project: Project) -> None:
    first = git(project.root, "rev-parse", "HEAD")
    second = commit(project.root, "second")
    git(project.root, "checkout", "-q", "-b", "side", first)
    commit(project.root, "aside")
    git(project.root, "checkout", "-q", "main")
    git(project.root, "merge", "-q", "--no-ff", "-m", "merged", "side")
    found = commits_between(project, first[:8], "HEAD")
    assert [one.title for one in found] == ["first", "second", "merged"]
    assert [one.id for one in found[:2]] == [first, second]
    assert found[0].short == first[:12]


def test_titles_that_are_not_lines_of_text_break_nothing(project: Project) -> None:
    titles: Sequence[str | bytes] = ["a\u2028b \x1b[31m", b"\xff\xfe", "tail\r", "a\rb", " "]
    for title in titles:
        commit(project.root, title)
    found = commits_between(project, "HEAD~5", "HEAD")
    assert len(found) == 6
    assert all(len(one.id) == 40 for one in found)


@pytest.mark.parametrize("name", ["nothing", "", "--all", "HEAD~9"])
def test_commit_that_is_not_there_is_named(name: str, project: Project) -> None:
    with pytest.raises(GitFailed, match="There is no commit") as caught:
        commits_between(project, name, "HEAD")
    assert "git log" in caught.value.remedy


def test_good_one_that_is_no_ancestor_is_refused(project: Project) -> None:
    commit(project.root, "second")
    with pytest.raises(GitFailed, match="is no ancestor of") as caught:
        commits_between(project, "HEAD", "HEAD~1")
    assert "merge-base" in caught.value.remedy


def test_without_a_repository_or_git_the_remedy_says_so(
    tmp_path: Path, state: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(GitFailed, match="not a git repository") as caught:
        commits_between(Project(tmp_path / "bare", state, tmp_path, None), "HEAD", "HEAD")
    assert "leave out --commits" in caught.value.remedy
    monkeypatch.setenv("PATH", str(tmp_path / "bare"))
    with pytest.raises(GitFailed, match="git can't be run") as caught:
        commits_between(project, "HEAD", "HEAD")
    assert caught.value.remedy == "install git"


def test_git_of_another_repository_in_the_environment_is_not_asked(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook."""
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert [one.title for one in commits_between(project, "HEAD", "HEAD")] == ["first"]


def test_recipe_is_named_from_the_root_however_it_was_typed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root / "models")
    recipe = project.root / "models" / "mine.toml"
    for typed in ("mine.toml", "models/mine.toml", str(recipe), "../models/mine.toml"):
        assert named_in_tree(project, typed) == "models/mine.toml"
    assert named_in_tree(project, "mine") == "mine"
    above = project.root.parent / "above.toml"
    above.touch()
    assert named_in_tree(project, str(above)) == "../above.toml"
    outside = tmp_path / "outside.toml"
    outside.touch()
    assert named_in_tree(project, str(outside)) == str(outside)
    with pytest.raises(BadArgument, match="outside the project's repository"):
        Builds.of(project, str(outside), "host", None)
    assert Builds.of(project, "mine.toml", str(outside), None).target == str(outside)


class _Built:
    """Stands for Edgewright in a worktree: writes what `build --json` writes, and notes what the worktree held."""

    def __init__(self, bundle: Bundle, answer: str | None = None) -> None:
        self.told = answer or json.dumps(
            {"variants": {name: {"folder": str(bundle.folder)} for name in ("trained", "int8")}}
        )
        self.roots: list[Path] = []
        self.recipes: list[str] = []

    def __call__(self, root: Path, project: Project, words: list[str]) -> None:
        self.roots.append(root)
        self.recipes.append((root / "models" / "mine.toml").read_text())
        Path(words[-1].removeprefix("--json=")).write_text(self.told)


def builds(project: Project, variant: str | None = None) -> Builds:
    return Builds.of(project, "mine", "host", variant)


def tree(project: Project) -> str:
    """All that git says of a person's checkout, and of its worktrees."""
    return git(project.root, "status", "--porcelain=v2") + git(project.root, "worktree", "list")


@pytest.fixture
def busy_checkout(project: Project) -> list[Commit]:
    """Two commits; the checkout has staged and unstaged changes of a person's, and a hook."""
    (project.root / "models" / "mine.toml").write_text("one = 2\n")
    commit(project.root, "second")
    (project.root / "staged").write_text("s")
    git(project.root, "add", "staged")
    (project.root / "models" / "mine.toml").write_text("one = 3\n")
    hook = project.root.parent / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {project.root}/hooked\n")
    hook.chmod(0o755)
    return commits_between(project, "HEAD~1", "HEAD")


def test_worktree_has_the_commit_and_is_gone_afterwards(
    project: Project, busy_checkout: list[Commit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = _Built(tiny_bundle(tmp_path / "tiny"))
    monkeypatch.setattr(commits, "_run", built)
    before = tree(project)
    for one in busy_checkout:
        assert builds(project).bundle(one).manifest.name == "tiny"
    assert built.recipes == ["one = 1\n", "one = 2\n"]
    assert not any(root.exists() for root in built.roots)
    assert tree(project) == before
    assert not list((project.state / "bisect").iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_worktree_is_gone_after_it_was_cut_off(
    error: type[BaseException], project: Project, busy_checkout: list[Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*given: object) -> None:
        raise error

    monkeypatch.setattr(commits, "_run", cut_off)
    before = tree(project)
    with pytest.raises(error):
        builds(project).bundle(busy_checkout[0])
    assert tree(project) == before


def test_what_a_killed_run_left_goes_with_the_next_and_a_persons_own_stays(
    project: Project, busy_checkout: list[Commit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(project.root, "worktree", "add", "--detach", str(tmp_path / "away"), "HEAD")
    (tmp_path / "away").rename(tmp_path / "unplugged")
    before = tree(project)
    left = project.state / "bisect" / "0123-1"
    left.parent.mkdir()
    git(project.root, "worktree", "add", "--detach", str(left), "HEAD")
    monkeypatch.setattr(commits, "_run", _Built(tiny_bundle(tmp_path / "tiny")))
    builds(project).bundle(busy_checkout[0])
    assert not left.exists()
    assert tree(project) == before


def test_worktree_of_one_that_is_at_work_stays(
    project: Project, busy_checkout: list[Commit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_run", _Built(tiny_bundle(tmp_path / "tiny")))
    with ExitStack() as earlier:
        earlier.enter_context(commits._worktree(project, busy_checkout[0]))
        with commits._worktree(project, busy_checkout[1]) as root:
            earlier.close()
            builds(project).bundle(busy_checkout[0])
            assert (root / "models" / "mine.toml").is_file()
    assert not root.exists()


@pytest.mark.parametrize("told", ["", "{", "[]", '{"variants": 3}', '{"variants": {"trained": {}}}'])
def test_build_that_tells_nothing_of_use_is_no_bundle(
    told: str, project: Project, busy_checkout: list[Commit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_run", _Built(tiny_bundle(tmp_path / "tiny"), told or " "))
    with pytest.raises(NotBuilt):
        builds(project, "trained").bundle(busy_checkout[0])


def test_variant_that_a_commit_has_not_is_named_with_those_it_has(
    project: Project, busy_checkout: list[Commit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_run", _Built(tiny_bundle(tmp_path / "tiny")))
    with pytest.raises(NotBuilt, match=r"no variant 'wide': it has trained, int8"):
        builds(project, "wide").bundle(busy_checkout[0])


def test_root_that_a_commit_has_not_is_no_bundle(project: Project) -> None:
    new = project.root.parent / "new"
    new.mkdir()
    with pytest.raises(NotBuilt):
        Builds.of(Project(new, project.state, project.cache, None), "mine", "host", None).bundle(
            commits_between(project, "HEAD", "HEAD")[0]
        )


def test_stopped_in_the_midst_of_a_start_leaves_no_process(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes once the child runs, and before anybody could know it."""
    started = []

    class Told(subprocess.Popen[bytes]):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("pipeline.commits.subprocess.Popen", Told)
    with pytest.raises(KeyboardInterrupt):
        commits._run(project.root, project, ["build"])
    (process,) = started
    assert process.returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
