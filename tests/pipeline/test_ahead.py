"""Bundles made side by side: the same as one after another, and nothing stays behind of what was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.ahead import build_ahead, workers
from pipeline.build import Builder
from pipeline.plan import Plan
from pipeline.steps.checking import CheckFailed
from tests.pipeline.conftest import RECIPE, Built, wanted

Make = Callable[[str], tuple[Plan, Builder]]

STARTS = """
import sys
from pathlib import Path
from pipeline.ahead import build_ahead
from tests.pipeline.conftest import builder_of, plan_of

folder = Path(sys.argv[1])
plan = plan_of((folder / "recipe" / "small.toml").read_text(), folder / "recipe")
builder = builder_of(plan, folder)
build_ahead(builder, plan, [one.bundle for one in plan.variants], 2, 60.0, lambda: print("waits", flush=True))
"""


def networks(plan: Plan) -> list[str]:
    """The nodes that leave networks."""
    return sorted({plan.nodes[one.check].inputs["network"] for one in plan.variants})


def test_bundles_made_side_by_side_are_those_that_the_builder_makes(
    in_folder: Make, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, builder = in_folder(RECIPE)
    ended: list[subprocess.Popen[bytes]] = []
    popen, ticks = subprocess.Popen, []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline").mkdir()  # of the user's own; it is not taken for ours
    (tmp_path / "pipeline" / "__init__.py").write_text("raise SystemExit(1)\n")

    def started(*given: Any, **told: Any) -> subprocess.Popen[bytes]:
        ended.append(popen(*given, **told))
        return ended[-1]

    monkeypatch.setattr(subprocess, "Popen", started)
    made: list[set[str]] = []

    def ahead(builder: Builder, plan: Plan, wanted: list[str]) -> set[str]:
        made.append(build_ahead(builder, plan, wanted, 2, 60.0, lambda: ticks.append(1)))
        assert made[-1] <= {artifact.fingerprint for artifact in builder.store.all()}
        return made[-1]

    builder.build(plan, networks(plan))
    builder.ahead = ahead
    done = builder.build(plan, wanted(plan))
    assert [one.returncode for one in ended] == [0, 0]
    assert ticks
    bundles = [one.bundle for one in plan.variants]
    assert {plan.nodes[one].fingerprint for one in bundles} <= made[0]
    assert {id_: one.artifact and one.artifact.digest for id_, one in done.items()} == {
        id_: one.artifact and one.artifact.digest for id_, one in built.done.items()
    }
    assert not any(done[bundle].cached for bundle in bundles), "it was made for this build"
    again = builder.build(plan, wanted(plan))
    assert made[1:] == [set()], "nothing is left to make"
    assert [id_ for id_, one in again.items() if not one.cached] == []
    assert len(ended) == 2


def test_modules_of_the_working_folder_are_found(
    in_folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets_beside_the_user.py").write_text("from models.architectures.resnet import resnet8\n")
    plan, builder = in_folder(RECIPE.replace("models.architectures.resnet:", "nets_beside_the_user:"))
    builder.build(plan, networks(plan))
    assert build_ahead(builder, plan, wanted(plan), 2, 60.0)
    assert set(_bundles(builder)) == {one.bundle for one in plan.variants}


def test_nothing_starts_that_is_not_worth_it(in_folder: Make) -> None:
    plan, builder = in_folder(RECIPE)
    bundles = [one.bundle for one in plan.variants]
    assert build_ahead(builder, plan, bundles, 2, 60.0) == set(), "the networks are not there"
    builder.build(plan, networks(plan))
    assert build_ahead(builder, plan, bundles, 1, 60.0) == set(), "there is one core"
    assert build_ahead(builder, plan, bundles, 2, 59.0 / len(bundles)) == set(), "it would be done in a minute"
    assert build_ahead(builder, plan, bundles[:1], 2, 60.0) == set(), "there is one to make"
    assert not _bundles(builder)


def test_a_system_that_starts_no_more_processes_takes_nothing_down(
    in_folder: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, builder = in_folder(RECIPE)
    builder.build(plan, networks(plan))

    def full(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", full)
    assert build_ahead(builder, plan, wanted(plan), 2, 60.0)
    assert not _bundles(builder)


def test_what_cannot_be_made_is_left_for_the_builder_who_says_why(in_folder: Make) -> None:
    plan, builder = in_folder(RECIPE + "\n[check]\nfloat_difference = 1e-12\n")
    builder.build(plan, networks(plan))
    builder.ahead = lambda builder, plan, wanted: build_ahead(builder, plan, wanted, 2, 60.0)
    done = builder.build(plan, wanted(plan))
    troubles = [done[one.bundle].trouble for one in plan.variants]
    assert troubles and all(isinstance(trouble, CheckFailed) for trouble in troubles)


def test_as_many_processes_as_there_are_cores_and_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ahead._memory", lambda: 9 * 2**30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert workers() == 2
    monkeypatch.setattr("pipeline.ahead._memory", lambda: 2**40)
    assert workers() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1), raising=False)
    assert workers() == 1


def test_killed_it_leaves_no_process_behind(in_folder: Make, tmp_path: Path, project_root: Path) -> None:
    plan, builder = in_folder(RECIPE)
    builder.build(plan, networks(plan))
    one = subprocess.Popen(
        [sys.executable, "-c", STARTS, str(tmp_path)], cwd=project_root, stdout=subprocess.PIPE, text=True
    )
    assert one.stdout is not None
    assert one.stdout.readline() == "waits\n"
    children = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(one.pid, signal.SIGKILL)
    one.wait()
    until = time.monotonic() + 60
    while left := [pid for pid in children if _runs(pid)]:
        if time.monotonic() > until:
            pytest.fail(f"{left} still run")
        time.sleep(0.1)
    assert not _bundles(builder), "it was killed before anything was whole"


def _bundles(builder: Builder) -> list[str]:
    return [artifact.node for artifact in builder.store.all() if artifact.step == "bundle"]


def _runs(pid: str) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
