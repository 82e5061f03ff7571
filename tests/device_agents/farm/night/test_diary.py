"""The diary: every change reaches the disk, many of one moment in few writings, and a full disk stops nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from device_agents.farm.night import diary as diaries
from device_agents.farm.night.diary import Diary
from device_agents.farm.night.record import Build, Night, place
from tests.device_agents.farm.night.test_record import made


def _read(state: Path) -> Night:
    return Night.read(place(state, made().id))


def test_change_is_on_the_disk_while_the_night_runs(tmp_path: Path) -> None:
    with Diary(made(), tmp_path, pytest.fail) as diary:
        assert _read(tmp_path).jobs[0].state == "waiting"
        diary.job("pi/m", state="running", attempts=1)
        until = time.monotonic() + 30
        while _read(tmp_path).jobs[0].state != "running":
            assert time.monotonic() < until
            time.sleep(0.01)


def test_all_that_was_changed_is_there_at_the_end(tmp_path: Path) -> None:
    with Diary(made(), tmp_path, pytest.fail) as diary:
        diary.built(Build(model="m", target="t", state="cached"))
        diary.built(Build(model="n", target="t", state="failed", problem="x"))
        diary.device("pi", state="died", problem="gone")
        diary.worked("pi", measured=1, seconds=2.5)
        diary.worked("pi", seconds=1.0)
        diary.change(finished="2026-11-26T03:00:00Z", status=2)
    night = _read(tmp_path)
    assert night == diary.night
    assert [one.state for one in night.builds] == ["cached", "failed"]
    device = night.devices[0]
    assert (device.state, device.measured, device.seconds_busy, night.status) == ("died", 1, 3.5, 2)


def test_only_a_job_that_waits_is_skipped(tmp_path: Path) -> None:
    diary = Diary(made(), tmp_path, pytest.fail)
    diary.job("pi/m", state="running")
    assert diary.skip("pi/m", problem="x") is None
    diary.job("pi/m", state="waiting")
    skipped = diary.skip("pi/m", problem="x")
    assert skipped is not None and (skipped.state, skipped.problem) == ("skipped", "x")


def test_changes_of_a_moment_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writings: list[Night] = []

    def write(night: Night, state: Path) -> Path:
        writings.append(night)
        return state

    def work() -> None:
        for _ in range(100):
            diary.worked("pi", measured=1)

    monkeypatch.setattr(Night, "write", write)
    monkeypatch.setattr(diaries, "_SHARE", 1e9)  # the writer pauses until the end
    with Diary(made(), tmp_path, pytest.fail) as diary:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert diary.night.devices[0].measured == 400
    assert len(writings) < 10
    assert writings[-1] == diary.night


def test_disk_that_cannot_be_written_is_noted_once(tmp_path: Path) -> None:
    (tmp_path / "nights").write_text("a file where the folder should be")
    said: list[str] = []
    with Diary(made(), tmp_path, said.append) as diary:
        diary.job("pi/m", state="measured")
    assert diary.night.jobs[0].state == "measured"
    assert len(said) == 1 and "can't be written" in said[0]
