"""A night on board doubles: all devices side by side, then the same jobs one after another.

Builds come before, so that both nights only measure. Links, agents and reports are real; only what a call takes is
given (tests/doubles/weather.py).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from device_agents.farm.figures import show_seconds
from device_agents.farm.night.record import DONE, newest
from pipeline.demo import typed_in, write_model
from pipeline.project import Project
from tests.bench.night.found import Found
from tests.bench.night.setting import Setting
from tests.deploy.night import build
from tests.doubles.farm import TARGET, Farm
from tests.doubles.weather import Weather

TITLE = "A night side by side"


def run(setting: Setting, project: Project) -> Found:
    """Raises OSError or RuntimeError where the farm can't be had."""
    with tempfile.TemporaryDirectory(prefix="edgewright-night-") as name:
        folder = Path(name)
        own = Project(folder / "project", folder / "state", project.cache, project.data)
        models = [f"net{number + 1}" for number in range(setting.bundles)]
        for number, model in enumerate(models):
            write_model(own, model, layers=3 + number)
        with Farm(folder / "devices", setting.devices, weather=Weather(floor_ms=setting.call_ms)) as farm:
            farm.declare(own.root)
            built = build(own, models)
            # The bundles travel in the first night: the comparison is not in its favour.
            beside, after = (_night(own, models, parallel) for parallel in (setting.devices, 1))
    problems = [f"{answer.build.model}: {answer.build.problem}" for answer in built if not answer.variants]
    problems += [f"at {told['parallel']} at once: {one}" for told in (beside, after) for one in told["problems"]]
    figures: dict[str, Any] = {"devices": setting.devices, "bundles": setting.bundles, "call_ms": setting.call_ms}
    figures |= {"cores": os.cpu_count(), "beside": beside, "after": after}
    return Found(figures, _rows(setting, beside, after), problems)


def _night(project: Project, models: list[str], parallel: int) -> dict[str, Any]:
    """One night, from the command to its prompt; busy_s: the jobs' own seconds together."""
    began = time.perf_counter()
    status = typed_in(project)(
        "nightly", "--models", ",".join(models), "--targets", TARGET, "--parallel", str(parallel)
    )
    wall_s = time.perf_counter() - began
    night = newest(project.state)
    assert night is not None, "a night leaves a record"
    return {
        "parallel": parallel,
        "wall_s": round(wall_s, 1),
        "busy_s": round(sum(device.seconds_busy for device in night.devices), 1),
        "jobs": len(night.jobs),
        "measured": sum(job.state in DONE for job in night.jobs),
        "status": status,
        "problems": [f"{job.id} {job.state}: {job.problem}" for job in night.jobs if job.state not in DONE],
    }


def _rows(setting: Setting, beside: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    jobs = max(1, after["jobs"])
    return [
        (
            "devices x bundles",
            f"{setting.devices} x {setting.bundles}, a call takes {setting.call_ms:g} ms, {os.cpu_count()} cores here",
        ),
        ("one after another (--parallel 1)", show_seconds(after["wall_s"])),
        (f"side by side (--parallel {setting.devices})", show_seconds(beside["wall_s"])),
        ("speed-up", f"{after['wall_s'] / beside['wall_s']:.2f}x"),
        ("a job by itself", show_seconds(after["busy_s"] / jobs)),
        ("a job beside others", show_seconds(beside["busy_s"] / jobs)),
        ("between jobs, one after another", show_seconds(max(0.0, after["wall_s"] - after["busy_s"]) / jobs)),
        ("measured", f"{beside['measured']} and {after['measured']} of {after['jobs']} jobs"),
    ]
