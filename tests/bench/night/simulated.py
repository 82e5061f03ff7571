"""A night of made-up devices, whose jobs take no time: what is left is planning, schedule and record; and the
schedule's decisions alone, on a clock that jumps."""

from __future__ import annotations

import dataclasses
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.figures import show_bytes, show_seconds
from device_agents.farm.night.agenda import Agenda, Piece
from device_agents.farm.night.record import place
from pipeline.demo import write_model
from pipeline.nightly.asked import read_asked
from pipeline.nightly.tonight import MOST_PARALLEL
from pipeline.project import Project
from tests.bench.night.found import Found
from tests.bench.night.setting import Setting
from tests.device_agents.farm.night.simulation import Simulation
from tests.doubles.farm import TARGET, write_target
from tests.pipeline.nightly.farm import Farm, report

TITLE = "A night of simulated devices"
_DEVICE = '[devices.d{number}]\ntarget = "{target}"\naddress = "d{number}.example"\n'


def run(setting: Setting, project: Project) -> Found:
    """A night to its end, and the schedule alone."""
    whole, alone = _night(setting, project), _agenda(setting)
    jobs = whole["jobs"]
    rows = [
        ("devices x bundles", f"{setting.many:,} x {setting.each}, {MOST_PARALLEL} devices at once"),
        ("planned: farm, recipes and target read", show_seconds(whole["planned_s"])),
        (f"finished: every device looked at, {jobs:,} jobs", show_seconds(whole["wall_s"])),
        ("a job: schedule, thread, record", f"{whole['wall_s'] / jobs * 1e3:.2f} ms"),
        ("of it processor time", f"{whole['cpu_s'] / jobs * 1e3:.2f} ms"),
        ("a job: the schedule's decisions alone", f"{alone['cpu_s'] / jobs * 1e3:.3f} ms"),
        ("the record", show_bytes(whole["record_bytes"])),
        ("jobs of 20 to 120 s, on a clock that jumps", f"{alone['ended_s'] / 3600:.2f} h"),
        ("no schedule can be quicker than", f"{alone['bound_s'] / 3600:.2f} h"),
    ]
    problems = [f"{count} jobs ended as {state}" for state, count in whole["states"].items() if state != "measured"]
    return Found({"devices": setting.many, "bundles": setting.each, "night": whole, "agenda": alone}, rows, problems)


def _night(setting: Setting, project: Project) -> dict[str, Any]:
    """All of a night but what builds, looks and measures, which answers at once (tests/pipeline/nightly/farm.py)."""
    with tempfile.TemporaryDirectory(prefix="edgewright-night-") as name, pytest.MonkeyPatch.context() as patch:
        own = dataclasses.replace(project, root=Path(name, "project"), state=Path(name, "state"))
        models = [f"net{number + 1}" for number in range(setting.each)]
        for model in models:
            write_model(own, model)
        write_target(own.root)
        tables = [_DEVICE.format(number=number + 1, target=TARGET) for number in range(setting.many)]
        own.farm_file.write_text("\n".join(tables))
        began = time.perf_counter()
        asked = read_asked(own, models, ())
        planned_s = time.perf_counter() - began
        farm, one = Farm(own, asked, patch), report("d1", models[0], TARGET)
        farm.job = lambda device, model, attempt: one
        began, processor = time.perf_counter(), time.process_time()
        _, night = farm.run(parallel=MOST_PARALLEL)
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - processor
        states: dict[str, int] = {}
        for job in night.jobs:
            states[job.state] = states.get(job.state, 0) + 1
        return {
            "planned_s": planned_s,
            "wall_s": wall_s,
            "cpu_s": cpu_s,
            "jobs": len(night.jobs),
            "states": states,
            "record_bytes": place(own.state, night.id).stat().st_size,
        }


def _agenda(setting: Setting) -> dict[str, float]:
    """The decisions for as many jobs of known and different lengths; bound_s: when they could have ended at best."""
    dice = random.Random(7)
    pieces = [
        Piece(f"d{device}/net{number}", f"d{device}", f"net{number}", dice.uniform(20.0, 120.0))
        for device in range(setting.many)
        for number in range(setting.each)
    ]
    lengths = {piece.id: piece.expected_s or 0.0 for piece in pieces}
    by_device: dict[str, float] = {}
    for piece in pieces:
        by_device[piece.place] = by_device.get(piece.place, 0.0) + lengths[piece.id]
    simulation = Simulation(lambda piece, attempt: (lengths[piece.id], None))
    agenda = Agenda(simulation.told, parallel=MOST_PARALLEL)
    began = time.process_time()
    simulation.run(agenda, pieces)
    cpu_s = time.process_time() - began
    bound_s = max(max(by_device.values()), sum(lengths.values()) / MOST_PARALLEL)
    return {"cpu_s": cpu_s, "ended_s": simulation.now, "bound_s": bound_s}
