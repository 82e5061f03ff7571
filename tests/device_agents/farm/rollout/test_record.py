"""A rollout's record: on the disk after every step, and found again where it is not done."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from device_agents.farm.rollout.errors import NothingToResume, RecordNotWritten, RecordUnreadable, RolloutUnderWay
from device_agents.farm.rollout.record import DeviceRollout, Record, Release, Rollout, alone, read, unfinished


def new(id: str = "20261126T140000Z-tiny-board-1", digest: str = "a" * 64, names: str = "ab") -> Rollout:
    return Rollout(
        schema="edgewright-rollout/1",
        id=id,
        started="2026-11-26T14:00:00Z",
        release=Release(path="/releases/tiny", digest=digest, model="tiny", target="board", version="1.0.0"),
        waves=[[name] for name in names],
        devices={name: DeviceRollout() for name in names},
    )


def test_record_is_on_the_disk_after_every_step(tmp_path: Path) -> None:
    record = Record(tmp_path, new())
    assert read(record.path) == record.rollout and record.rollout.status == "running"
    record.device("a", state="good", runs="1.0.0")
    assert read(record.path).devices["a"].runs == "1.0.0" and read(record.path).in_state("untouched") == ["b"]
    record.ended("halted", "2026-11-26T14:05:00Z")
    assert (read(record.path).status, read(record.path).finished) == ("halted", "2026-11-26T14:05:00Z")


def test_record_loses_nothing_that_threads_say_at_once(tmp_path: Path) -> None:
    names = "abcdefgh"
    record = Record(tmp_path, new(names=names))
    threads = [threading.Thread(target=lambda name=name: record.device(name, state="good")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(record.path).in_state("good") == [*names]


def test_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "rollouts").write_text("a file in the folder's place")
    with pytest.raises(RecordNotWritten, match="can't be written") as caught:
        Record(tmp_path, new())
    assert caught.value.remedy


def test_rollout_is_under_way_in_one_process_only(tmp_path: Path) -> None:
    with (
        alone(tmp_path, "1"),
        alone(tmp_path, "2"),
        pytest.raises(RolloutUnderWay, match="still under way"),
        alone(tmp_path, "1"),
    ):
        pass
    with alone(tmp_path, "1"):
        pass


def test_newest_rollout_that_is_not_done_is_found(tmp_path: Path) -> None:
    Record(tmp_path, new("1", "a" * 64))
    Record(tmp_path, new("2", "b" * 64)).ended("halted", "then")
    assert unfinished(tmp_path).id == "2" and unfinished(tmp_path, "a" * 64).id == "1"
    Record(tmp_path, new("3", "a" * 64)).ended("done", "then")
    for digest in (None, "a" * 64, "c" * 64):
        with pytest.raises(NothingToResume):
            unfinished(tmp_path, digest)
    assert unfinished(tmp_path, "b" * 64).id == "2"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "edgewright-rollout/2"}'])
def test_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    path = Record(tmp_path, new()).path
    path.write_text(text)
    with pytest.raises(RecordUnreadable) as caught:
        unfinished(tmp_path)
    assert str(path) in str(caught.value)
