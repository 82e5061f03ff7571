"""A night's record: what is written is read again, what can't be read is left out, and what the status says."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.night.record import (
    Build,
    DeviceNight,
    JobNight,
    Night,
    NightUnreadable,
    newest,
    night_id,
    nights,
    place,
    status_of,
)

START = datetime(2026, 11, 26, 2, tzinfo=timezone.utc)


def made(id: str = "20261126T020000Z", **fields: Any) -> Night:
    given: dict[str, Any] = {
        "started": "2026-11-26T02:00:00Z",
        "builds": (Build(model="m", target="t", state="built", variants=("a", "b"), seconds=3.0),),
        "devices": (DeviceNight(name="pi", target="t", jobs=1),),
        "jobs": (JobNight(id="pi/m", device="pi", target="t", model="m", variants={"a": "0" * 64}),),
    }
    return Night(id=id, **given | fields)


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    night = made(verdicts=({"metric": "latency"},), regressions=(0,), status=1, finished="2026-11-26T03:00:00Z")
    path = night.write(tmp_path)
    assert Night.read(path) == night
    assert path == place(tmp_path, night.id)
    assert json.loads(path.read_bytes())["schema"] == "edgewright-night/1"


def test_id_is_the_start_in_utc() -> None:
    assert night_id(START) == "20261126T020000Z"


def test_nights_come_oldest_first_and_damaged_ones_are_noted(tmp_path: Path) -> None:
    for day in (3, 1, 2):
        made(f"2026112{day}T020000Z").write(tmp_path)
    place(tmp_path, "20261122T020000Z").write_bytes(b'{"schema": "edgewright-night/1", "id"')
    said: list[str] = []
    assert [night.id for night in nights(tmp_path, said.append)] == ["20261121T020000Z", "20261123T020000Z"]
    assert len(said) == 1 and "20261122T020000Z" in said[0]
    assert [night.id for night in nights(tmp_path, last=1)] == ["20261123T020000Z"]
    found = newest(tmp_path)
    assert found is not None and found.id == "20261123T020000Z"
    assert newest(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'{"schema": "edgewright-night/9"}', b'{"schema": "edgewright-night/1", "id": 3}', b"\xff"],
)
def test_what_is_no_record_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    path.write_bytes(content)
    with pytest.raises(NightUnreadable) as raised:
        Night.read(path)
    assert raised.value.remedy


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    path.write_text(json.dumps(made().to_json() | {"schema": "edgewright-night/2"}))
    with pytest.raises(NightUnreadable, match="edgewright-night/2"):
        Night.read(path)


@pytest.mark.parametrize(
    ("build", "job", "worse", "status"),
    [
        ({}, {"state": "measured"}, (), 0),
        ({}, {"state": "known"}, (), 0),
        ({}, {"state": "invalid"}, (), 2),
        ({}, {"state": "skipped"}, (), 2),
        ({}, {"state": "failed"}, (), 2),
        ({}, {"state": "measured", "problem": "int8: killed"}, (), 2),
        ({"state": "failed"}, {"state": "measured"}, (), 2),
        ({"problem": "int8: not smaller"}, {"state": "measured"}, (), 2),
        ({}, {"state": "measured"}, (0,), 1),
        ({"state": "failed"}, {"state": "failed"}, (0,), 1),
    ],
)
def test_status_tells_a_regression_from_what_is_missing(
    build: dict[str, Any], job: dict[str, Any], worse: tuple[int, ...], status: int
) -> None:
    night = made()
    builds = [one.model_copy(update=build) for one in night.builds]
    assert status_of(builds, [one.model_copy(update=job) for one in night.jobs], worse) == status
