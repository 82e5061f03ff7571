"""Words without a flag, as many as there are, for the tasks that take them; help for those that demand one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from invoke import Collection, Context, task

from edgewright.checks import root
from edgewright.program import MANY, helped, spread


@task(iterable=["bundle"])
def measure(c: Context, bundle: list[str], device: str = "", quick: bool = False) -> None:
    """Takes many."""


@task(positional=["file"])
def one(c: Context, file: str) -> None:
    """Takes one."""


setattr(measure, MANY, "bundle")
TASKS = Collection(one, Collection("bench", measure))
TASKS.collections["bench"].default = "measure"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["bench", "A", "B"], ["bench", "--bundle", "A", "--bundle", "B"]),
        (["bench", "--device", "d", "A"], ["bench", "--device", "d", "--bundle", "A"]),
        (["bench", "A", "-d", "d", "B"], ["bench", "--bundle", "A", "-d", "d", "--bundle", "B"]),
        (["bench", "--device=d", "--quick", "A"], ["bench", "--device=d", "--quick", "--bundle", "A"]),
        (["bench", "--bundle", "A", "B"], ["bench", "--bundle", "A", "--bundle", "B"]),
        (["bench.measure", "one"], ["bench.measure", "--bundle", "one"]),
        (["one", "bench"], ["one", "bench"]),
        (["bench"], ["bench"]),
        ([], []),
    ],
)
def test_words_reach_the_argument_that_takes_many(given: list[str], meant: list[str]) -> None:
    assert spread(given, TASKS) == meant


def test_real_tasks_have_one_that_takes_many() -> None:
    import tasks

    found = spread(["bench", "--device", "pi", "0f12ab", "7abbc3"], tasks.namespace)
    assert found == ["bench", "--device", "pi", "--bundle", "0f12ab", "--bundle", "7abbc3"]
    assert spread(["compare", "A", "B"], tasks.namespace) == ["compare", "A", "B"]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (["one", "--help"], "one"),
        (["bench", "-h"], "bench"),
        (["bench.measure", "--help", "A"], "bench.measure"),
        (["one", "A", "--help"], None),
        (["one"], None),
        (["one", "bench", "--help"], None),
        (["--help"], None),
    ],
)
def test_help_after_a_task_is_not_taken_for_its_argument(given: list[str], asked: str | None) -> None:
    assert helped(given, TASKS) == asked


def test_every_real_task_tells_its_usage() -> None:
    import tasks

    names = [name for one in tasks.namespace.to_contexts() for name in (one.name, *one.aliases) if name]
    assert len(names) > 50
    assert all(helped([name, "--help"], tasks.namespace) == name for name in names)
    command = [sys.executable, "-m", "edgewright.program", "--search-root", str(root()), "devices.probe", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0 and "Usage: inv [--core-opts] devices.probe" in said.stdout
