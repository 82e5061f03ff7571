"""Tasks that attend to this folder: targets, the store, tests, what is installed."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import plainly


@task(name="list", default=True)
@plainly
def targets_list(c: Context) -> None:
    """Show the kinds of device there are."""
    from pipeline import commands

    commands.targets()


@task(name="check", positional=["file"], help={"file": "a target file of your own, or the name of one"})
@plainly
def targets_check(c: Context, file: str) -> None:
    """Read a target file and say what it comes to, or what is wrong in it."""
    from pipeline import commands

    commands.check_target(file)


@task(name="list", default=True)
@plainly
def store_list(c: Context) -> None:
    """Show what is in the store."""
    from pipeline import upkeep

    upkeep.store_list()


@task(name="verify", help={"remove": "drop what is damaged, so that it is made anew"})
@plainly
def store_verify(c: Context, remove: bool = False) -> None:
    """Read every artifact and compare it with its digest."""
    from pipeline import upkeep

    upkeep.store_verify(remove)


@task(name="gc", help={"budget": "what may stay, e.g. 500M or 2G"})
@plainly
def store_gc(c: Context, budget: str = "2G") -> None:
    """Drop what was used longest ago until the store fits the budget."""
    from pipeline import upkeep

    upkeep.store_gc(budget)


@task(
    help={
        "all": "also those that take minutes or need a device double",
        "keyword": "pytest's -k",
        "path": "file or folder",
    },
    iterable=["path"],
)
def test(c: Context, all: bool = False, keyword: str = "", path: list[str] | None = None) -> None:
    """Run the tests."""
    from edgewright.checks import run_tests

    if status := run_tests(all, keyword or None, path or ()):
        raise Exit(code=status)


@task
def lint(c: Context) -> None:
    """Check style, types and the direction of the arrows."""
    from edgewright.checks import run_lint

    if status := run_lint():
        raise Exit(code=status)


@task(
    positional=["extra"],
    help={"extra": "text, vision, tflite, postgres, parquet, oracle, bench, build or dev (docs/dependencies.md: why)"},
)
@plainly
def setup(c: Context, extra: str) -> None:
    """Install an extra that some recipes need. (./inv has done so before this runs, which only looks.)"""
    from edgewright.extras import check

    check(extra)
    print(f"{extra}: ready")
