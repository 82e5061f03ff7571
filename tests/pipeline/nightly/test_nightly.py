"""A night from the command to its record: begun, gone on with, alone, judged, and its exit status."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

import pytest

from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.night.diary import Diary
from device_agents.farm.night.record import Night, moment, newest, night_id, place
from device_agents.farm.quarantine import Quarantine
from edgewright.errors import BadArgument
from pipeline.nightly import nightly as body
from pipeline.nightly.nightly import NightUnderWay, nightly
from tests.pipeline.nightly.farm import FARM, Farm, farm_in
from tests.pipeline.test_nights import nights as series

MODELS = "resnet8,digits"


class Tonight:
    """Stands for the night's work: it measures every job, unless told otherwise."""

    finishes = True
    report = "r"
    innocent: ClassVar[set[str]] = set()
    runs: ClassVar[list[Night]] = []
    changes: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, project: object, asked: object, diary: Diary, *more: object, **given: object) -> None:
        self.diary = diary

    def run(self) -> bool:
        Tonight.runs.append(self.diary.night)
        for job in self.diary.night.jobs:
            told = {"state": "measured", "report": self.report} | self.changes.get(job.id, {})
            self.diary.job(job.id, **told)
            self.diary.worked(job.device, measured=told["state"] == "measured")
        return self.finishes


@pytest.fixture
def farm(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    monkeypatch.setattr(body, "Tonight", Tonight)
    for name, value in {"finishes": True, "report": "r", "innocent": set(), "runs": [], "changes": {}}.items():
        monkeypatch.setattr(Tonight, name, value)
    with farm_in(tmp_path / "project", state, monkeypatch, FARM) as found:
        yield found


def ran(**given: Any) -> Night:
    night = nightly(MODELS, **given)
    assert night is not None
    return night


def test_good_night_is_recorded_and_written_where_asked(farm: Farm, state: Path, tmp_path: Path) -> None:
    night = ran(json_file=str(tmp_path / "night.json"))
    assert (night.status, night.regressions) == (0, ())
    assert night.finished is not None
    assert newest(state) == night
    assert Night.model_validate(json.loads((tmp_path / "night.json").read_bytes())) == night
    assert len(night.jobs) == 6 and len(night.devices) == 3


def test_job_that_is_missing_makes_it_2(farm: Farm) -> None:
    Tonight.changes = {"pi1/digits": {"state": "failed", "problem": "gone"}}
    assert ran().status == 2


def test_model_that_got_worse_makes_it_1_also_where_something_is_missing(farm: Farm, state: Path) -> None:
    reports = series([2.0] * 14 + [3.0] * 2)
    Tonight.report = reports[-1].id
    Tonight.changes = {"pi1/digits": {"state": "failed", "problem": "gone", "report": None}}
    with Ledger.open(None, state) as ledger:
        ledger.append_all(reports)
    night = ran()
    assert night.status == 1
    worse = [night.verdicts[one] for one in night.regressions]
    assert [one["metric"] for one in worse] == ["latency"]
    assert {one["report"] for one in night.verdicts} == {reports[-1].id}


def test_series_that_the_night_did_not_add_to_says_nothing_of_it(farm: Farm, state: Path) -> None:
    with Ledger.open(None, state) as ledger:
        ledger.append_all(series([2.0] * 14 + [3.0] * 2))
    night = ran()
    assert (night.status, night.verdicts) == (0, ())


def test_ledger_that_cannot_be_opened_is_told_and_loses_no_record(
    farm: Farm, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "ledger.sqlite").write_bytes(b"no database" * 100)
    night = ran()
    assert (night.status, night.finished is None) == (2, False)
    assert "nothing is judged" in capsys.readouterr().err


def test_night_that_was_stopped_has_no_status_and_the_next_goes_on_with_it(farm: Farm, state: Path) -> None:
    Tonight.finishes = False
    first = ran(deadline="6h")
    assert (first.status, first.finished) == (None, None)
    Tonight.finishes = True
    second = ran()
    assert (second.id, second.started, second.deadline) == (first.id, first.started, first.deadline)
    assert {job.state for job in Tonight.runs[1].jobs} == {"waiting"}
    assert second.status == 0
    assert len(list((state / "nights").glob("*/night.json"))) == 1


@pytest.mark.parametrize(
    ("ago", "deadline", "models", "goes_on"),
    [
        (1.0, None, MODELS, True),
        (13.0, None, MODELS, False),
        (13.0, 1.0, MODELS, True),
        (1.0, -0.5, MODELS, False),
        (1.0, None, "digits", False),
    ],
)
def test_only_the_same_night_before_its_deadline_is_gone_on_with(
    farm: Farm, state: Path, ago: float, deadline: float | None, models: str, goes_on: bool
) -> None:
    now = datetime.now(timezone.utc)
    began = now - timedelta(hours=ago)
    until = None if deadline is None else moment(now + timedelta(hours=deadline))
    fresh = farm.fresh.model_copy(update={"id": night_id(began), "started": moment(began), "deadline": until})
    fresh.write(state)
    night = nightly(models)
    assert night is not None and (night.id == fresh.id) is goes_on


def test_finished_night_is_not_gone_on_with(farm: Farm, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(timezone.utc)
    done = farm.fresh.model_copy(update={"id": "20200101T000000Z", "started": moment(now), "finished": moment(now)})
    done.write(state)
    assert ran().id != done.id


def test_second_night_of_the_same_state_is_refused(farm: Farm, state: Path) -> None:
    lock = state / "nights" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NightUnderWay):
            ran()
    assert Tonight.runs == []
    assert ran().status == 0


def test_devices_that_failed_go_into_quarantine_and_good_ones_come_out(farm: Farm, state: Path) -> None:
    Quarantine.read(state).failed("pi2", "earlier", "n0")
    Tonight.changes = {f"pi1/{model}": {"state": "failed", "problem": "gone"} for model in MODELS.split(",")}
    night = ran()
    after = Quarantine.read(state)
    held = after.of("pi1")
    assert held is not None and (held.why, held.night) == ("gone", night.id)
    assert after.failed("pi2", "again", "n1") is None, "what was held against pi2 is forgotten"


def test_device_is_not_blamed_for_jobs_that_no_device_could_do(farm: Farm, state: Path) -> None:
    Tonight.innocent = {f"pi1/{model}" for model in MODELS.split(",")}
    Tonight.changes = {job: {"state": "failed", "problem": "a damaged bundle"} for job in Tonight.innocent}
    assert ran().status == 2
    assert Quarantine.read(state).of("pi1") is None


def test_dry_run_says_what_would_run_and_writes_nothing(
    farm: Farm, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly("digits", "linux-x86_64", dry_run=True) is None
    said = capsys.readouterr().out
    assert "digits > linux-x86_64" in said and "steps would run" in said and "box" in said
    assert Tonight.runs == [] and not (state / "nights").exists()


def test_number_of_devices_at_once_has_to_be_one(farm: Farm) -> None:
    with pytest.raises(BadArgument):
        ran(parallel=-1)


def test_record_lies_where_the_dashboard_looks(farm: Farm, state: Path) -> None:
    night = ran()
    assert place(state, night.id).is_file()
