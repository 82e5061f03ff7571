"""The builds of a night: what is stored comes first, the rest one by one, each answered whatever becomes of it."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.inventory import DeviceEntry
from pipeline.nightly.builds import TOO_LATE, Builds, cores_for_builds
from pipeline.nightly.child import Answer, Pair, Request
from pipeline.project import Project
from targets.schema import Target
from tests.pipeline.nightly.farm import answer

PAIRS = [Pair(model=name, target="t", recipe=name, kind="t") for name in ("a", "b", "c")]


class Child:
    """Stands for the building process: `stored` are answered at once, of the others each takes its turn."""

    def __init__(self, stored: str = "", dies: str = "", hangs: str = "") -> None:
        self.stored, self.dies, self.hangs = stored, dies, hangs
        self.asked: list[tuple[bool, str]] = []
        self.began = threading.Event()

    def __call__(self, words: list[str], **given: Any) -> subprocess.Popen[bytes]:
        request = Request.model_validate_json(Path(words[-1]).read_bytes())
        names = "".join(pair.model for pair in request.pairs)
        self.asked.append((request.stored, names))
        for number, pair in enumerate(request.pairs):
            if (pair.model in self.stored) if request.stored else pair.model not in self.dies + self.hangs:
                told = answer(pair.model, "t", state="cached" if request.stored else "built")
                (request.answers / f"{number}.json").write_text(told.model_dump_json())
        seconds = 60 if not request.stored and names in self.hangs.split() else 0
        code = f"import sys, time; time.sleep({seconds}); sys.exit({3 if names in self.dies.split() else 0})"
        process = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
        if seconds:
            self.began.set()
        return process


@contextmanager
def unheard() -> Iterator[None]:
    yield


def ran(state: Path, child: Child, monkeypatch: pytest.MonkeyPatch, **given: Any) -> list[Answer]:
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: _real(real, child, words, how))
    told: list[Answer] = []
    project = dataclasses.replace(Project.here(), state=state)
    Builds(project, PAIRS, state / "night", unheard, told.append, **given).run()
    return told


def _real(real: Any, child: Child, words: list[str], how: dict[str, Any]) -> Any:
    if "-m" not in words:
        return real(words, **how)
    return child(words, **how)


def test_stored_ones_come_first_and_each_other_by_itself(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(stored="b")
    told = ran(state, child, monkeypatch)
    assert [(one.build.model, one.build.state) for one in told] == [("b", "cached"), ("a", "built"), ("c", "built")]
    assert child.asked == [(True, "abc"), (False, "a"), (False, "c")]


def test_build_that_dies_is_a_failed_one_with_its_log_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {one.build.model: one.build for one in ran(state, Child(dies="b"), monkeypatch)}
    assert (told["b"].state, told["a"].state, told["c"].state) == ("failed", "built", "built")
    assert "exit status 3" in (told["b"].problem or "") and ".log" in (told["b"].remedy or "")


def test_deadline_ends_the_build_that_runs_and_begins_no_other(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(stored="c", hangs="a")
    monkeypatch.setattr(Builds, "_late", lambda builds: len(child.asked) > 1)
    began = time.monotonic()
    told = {one.build.model: one.build for one in ran(state, child, monkeypatch, until=time.monotonic() + 1.0)}
    assert time.monotonic() - began < 45
    assert told["a"].problem == told["b"].problem == TOO_LATE
    assert told["c"].state == "cached"


def test_stopping_kills_the_build_that_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(hangs="a")
    told: list[Answer] = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: _real(real, child, words, how))
    builds = Builds(dataclasses.replace(Project.here(), state=state), PAIRS, state / "night", unheard, told.append)
    thread = threading.Thread(target=builds.run)
    thread.start()
    assert child.began.wait(30)
    builds.stop()
    thread.join(30)
    assert not thread.is_alive() and told == []
    assert builds._process is not None and builds._process.returncode == -signal.SIGKILL
    assert child.asked == [(True, "abc"), (False, "a")]


def test_disk_without_room_fails_the_builds_and_not_the_night(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state / "night").write_text("a file where the folder should be")
    told = ran(state, Child(), monkeypatch)
    assert [one.build.state for one in told] == ["failed"] * 3


def test_real_process_answers_what_cannot_be_built(state: Path, tmp_path: Path) -> None:
    told: list[Answer] = []
    project = dataclasses.replace(Project.here(), state=state)
    pair = Pair(model="m", target="host", recipe=str(tmp_path / "m.toml"), kind="host")
    (tmp_path / "m.toml").write_text('factory = "nowhere.py:net"\ndata = "digits"\n')
    Builds(project, [pair], state / "night", unheard, told.append, cores=tuple(sorted(os.sched_getaffinity(0)))).run()
    (one,) = told
    assert one.build.state == "failed" and "nowhere.py" in (one.build.problem or "") and one.build.remedy
    assert "m > host" in (state / "night" / "stored.log").read_text()


@pytest.mark.parametrize(("cpus", "left"), [("auto", None), ((0,), {1, 2, 3}), ((0, 1, 2, 3), None)])
def test_cores_that_a_device_here_is_measured_on_are_left_alone(
    cpus: Any, left: set[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    here = DeviceEntry(name="d", target="t", address="127.0.0.1")
    found = cores_for_builds([here], {"t": Target(name="t", cpus=cpus)})
    assert (None if found is None else set(found)) == left
    away = DeviceEntry(name="d", target="t", address="10.0.0.7")
    assert cores_for_builds([away], {"t": Target(name="t", cpus=cpus)}) is None
