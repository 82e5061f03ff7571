"""Whole nights on loopback doubles, with real builds and agents: two in a row, one cut off, one with a dead box."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agents.farm.night.record import JobNight, Night, newest, place
from tests.doubles.loopback import Loopback, entry_of
from tests.pipeline.conftest import ONNX, RECIPE

pytestmark = [pytest.mark.slow, pytest.mark.device, pytest.mark.alone]

PROGRAM = """
import sys
from pipeline.nightly.nightly import nightly
night = nightly(sys.argv[1], sys.argv[2], parallel=1)
sys.exit(2 if night.status is None else night.status)
"""
# This machine may be busy with other things, which makes reports invalid; that is not what these tests are about.
GAVE_A_REPORT = ("measured", "known", "invalid")


@dataclass(frozen=True)
class Farm:
    """Two doubles of a board that runs ONNX alone, and one small model."""

    root: Path
    state: Path
    doubles: list[Loopback]

    def start(self) -> subprocess.Popen[str]:
        folders = {"EDGEWRIGHT_ROOT": str(self.root), "EDGEWRIGHT_STATE": str(self.state)}
        words = [sys.executable, "-c", PROGRAM, str(self.root / "small.toml"), ONNX]
        return subprocess.Popen(
            words, env=os.environ | folders, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def night(self) -> tuple[int, str, Night]:
        process = self.start()
        text, _ = process.communicate(timeout=600)
        night = newest(self.state)
        assert night is not None, text
        assert "Traceback" not in text, text
        return process.returncode, text, night

    def reports(self) -> set[str]:
        return {path.stem for path in (self.state / "reports").glob("*.json")}


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "small.toml").write_text(RECIPE)
    with ExitStack() as stack:
        doubles = [stack.enter_context(Loopback(tmp_path / name)) for name in ("one", "two")]
        entries = [
            entry_of(double, "onnx", name, stand_in=False) for double, name in zip(doubles, ("one", "two"), strict=True)
        ]
        (root / "farm.toml").write_text("\n".join(entries))
        yield Farm(root, tmp_path / "state", doubles)


def test_second_night_builds_nothing_and_measures_again(farm: Farm) -> None:
    _, text, first = farm.night()
    assert [one.state for one in first.builds] == ["built"], text
    assert {job.state for job in first.jobs} <= set(GAVE_A_REPORT), text
    _, text, second = farm.night()
    assert [one.state for one in second.builds] == ["cached"], text
    assert second.id != first.id and second.finished and second.status is not None
    reports = {job.report for night in (first, second) for job in night.jobs}
    assert len(reports) == 4 and reports <= farm.reports()
    stored = json.loads((farm.state / "reports" / f"{second.jobs[0].report}.json").read_bytes())
    assert stored["purpose"] == "nightly"


def test_dead_device_makes_it_2_and_the_other_is_measured(farm: Farm) -> None:
    farm.doubles[0].__exit__(None, None, None)
    status, text, night = farm.night()
    assert status == 2, text
    assert {one.name: one.state for one in night.devices} == {"one": "unreachable", "two": "healthy"}
    assert Counter(job.state for job in night.jobs)["skipped"] == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_night_that_is_cut_off_is_gone_on_with_and_measures_nothing_twice(farm: Farm, number: signal.Signals) -> None:
    process = farm.start()
    until = time.monotonic() + 300
    while not any(one.state in GAVE_A_REPORT for one in _jobs(farm.state)):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=120)
    cut_off = newest(farm.state)
    assert cut_off is not None and cut_off.finished is None
    before = farm.reports()
    _, text, night = farm.night()
    assert night.id == cut_off.id and night.finished, text
    valid = {job.device for job in cut_off.jobs if job.state == "measured"}
    assert {job.device for job in night.jobs if job.state == "known"} == valid, text
    assert len(farm.reports() - before) == len(night.jobs) - len(valid)


def _jobs(state: Path) -> list[JobNight]:
    found = newest(state)
    return list(found.jobs) if found is not None and place(state, found.id).is_file() else []
