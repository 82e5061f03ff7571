"""What a night prints: regressions first, what is missing and its remedy, the farm, and nobody's escape codes."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.farm.night.out.telling import sentence
from device_agents.farm.night.record import Build, DeviceNight, JobNight, Night
from pipeline.nightly import show

HOSTILE = "evil\x1b[31m\nname"
KEY = {"model": "m", "variant": "int8", "target": "t", "device": "pi", "runtime": "litert", "precision": "int8"}
VERDICT = {"key": KEY, "metric": "load_time", "reason": "50 % more since 3 nights"}


def night(name: str = "pi", **fields: Any) -> Night:
    job = JobNight(id=f"{name}/m", device=name, target="t", model="m", state="measured", report="r", seconds=41.0)
    given: dict[str, Any] = {
        "status": 0,
        "builds": (Build(model="m", target="t", state="cached", variants=("a",)),),
        "devices": (DeviceNight(name=name, target="t", jobs=1, measured=1, seconds_busy=41.0),),
        "jobs": (job,),
    }
    return Night(id="20261126T020000Z", started="2026-11-26T02:00:00Z", **given | fields)


def test_good_night_is_a_table_and_one_sentence() -> None:
    assert show.lines(night()) == [
        "",
        "  device  target  state    jobs  measured  busy",
        "  pi      t       healthy  1     1         41 s",
        f"  night 20261126T020000Z: {sentence(night())}",
    ]


def test_regression_comes_first_and_what_is_missing_is_said_too() -> None:
    job = JobNight(id="pi/m", device="pi", target="t", model="m", state="skipped", problem="off", remedy="plug it in")
    first, *_, remedy, last = show.lines(
        night(status=1, finished="2026-11-26T03:00:00Z", jobs=(job,), verdicts=(VERDICT,), regressions=(0,))
    )
    assert first == "  WORSE  m, int8 on pi, load time: 50 % more since 3 nights"
    assert remedy == "  next:  plug it in"
    assert "1 regression" in last


@pytest.mark.parametrize(
    ("job", "line"),
    [
        ({"state": "measured", "seconds": 41.0, "report": "r1"}, "  pi  m  measured 41 s  r1"),
        ({"state": "known", "report": "r1", "seconds": 0.0}, "  pi  m  known  r1"),
        (
            {"state": "failed", "seconds": 3.0, "attempts": 3, "problem": "gone"},
            "  pi  m  failed 3.0 s, attempt 3  gone",
        ),
        ({"state": "skipped", "problem": "reserved: ada has it"}, "  pi  m  skipped  reserved: ada has it"),
    ],
)
def test_job_is_one_line(job: dict[str, Any], line: str) -> None:
    assert show.job_line(JobNight(id="pi/m", device="pi", target="t", model="m", **job)) == line


def test_build_is_one_line() -> None:
    made = Build(model="m", target="t", state="built", variants=("a", "b"), seconds=75.0, problem="c: not smaller")
    assert show.build_line(made) == "  build  m > t  built 75 s  2 variants  c: not smaller"


def test_hostile_names_print_no_escape_code() -> None:
    verdict = {"key": dict.fromkeys(KEY, HOSTILE), "metric": HOSTILE, "reason": HOSTILE}
    told = {"problem": HOSTILE, "remedy": HOSTILE}
    hostile = night(
        HOSTILE,
        builds=(Build(model=HOSTILE, target=HOSTILE, state="failed", **told),),
        devices=(DeviceNight(name=HOSTILE, target=HOSTILE, **told),),
        jobs=(JobNight(id="x", device=HOSTILE, target=HOSTILE, model=HOSTILE, state="failed", **told),),
        verdicts=(verdict,),
        regressions=(0,),
    )
    said = [*show.lines(hostile), *map(show.job_line, hostile.jobs), *map(show.build_line, hostile.builds)]
    assert all(line.isprintable() for line in said)
