"""No finished report is lost: processes killed at any moment, databases that are away, disks that are full."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from device_agents.farm.ledger import address as addresses
from device_agents.farm.ledger import filing
from device_agents.farm.ledger.errors import BadReport, ReportNotKept
from device_agents.farm.ledger.filing import MARK, file_report, file_waiting
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.report import Report
from edgewright import files
from tests.device_agents.farm.ledger import made
from tests.doubles.postgres import Postgres

FORK = multiprocessing.get_context("fork")


def marks(state: Path) -> list[str]:
    return sorted(path.name.removesuffix(MARK) for path in (state / "reports").glob(f"*{MARK}"))


def ids(address: str | None, state: Path) -> list[str]:
    with Ledger.open(address, state) as ledger:
        return [entry.id for entry in ledger.reports()]


def test_report_is_a_file_and_in_the_ledger(address: str | None, state: Path) -> None:
    report = made.report()
    filed = file_report(report, state, address)
    assert filed.path == state / "reports" / f"{report.id}.json"
    assert (filed.in_ledger, filed.problem) == (True, None)
    assert Report.read(filed.path) == report
    assert ids(address, state) == [report.id]
    assert marks(state) == []
    assert file_waiting(state, address) == []
    assert file_report(report, state, address).in_ledger


def test_report_that_is_no_json_is_refused_at_once(state: Path) -> None:
    with pytest.raises(BadReport):
        file_report(made.report(facts={"x": float("nan")}), state)
    assert not (state / "reports").exists()


# ---- killed


def _file_for_ever(address: str | None, state: Path, turn: int) -> None:
    number = 0
    while True:
        file_report(made.report(f"turn{turn:02d}-{number:05d}", warnings=[f"{turn} {number}"]), state, address)
        number += 1


@pytest.mark.slow
def test_killed_at_any_moment_loses_no_report(address: str | None, state: Path) -> None:
    rng, left = random.Random(), 0
    Ledger.open(address, state).close()
    for turn in range(40):
        running = FORK.Process(target=_file_for_ever, args=(address, state, turn))
        running.start()
        assert running.pid is not None
        until(lambda turn=turn: any((state / "reports").glob(f"turn{turn:02d}-*.json")))
        time.sleep(rng.random() * 0.1)
        os.kill(running.pid, signal.SIGKILL)
        running.join()
        left += bool(marks(state))
        if turn % 3 == 0:  # else the next one goes on beside what this one left
            file_waiting(state, address)
    assert left > 5, "nobody was killed in the middle: this test says nothing"
    assert all(filed.in_ledger for filed in file_waiting(state, address))
    written = {path.stem for path in (state / "reports").glob("turn*.json")}
    with Ledger.open(address, state) as ledger:
        found = {entry.id: ledger.report(entry.id) for entry in ledger.reports()}
    assert set(found) == written
    for id, report in found.items():
        first, second = id.removeprefix("turn").split("-")
        assert report == made.report(id, warnings=[f"{int(first)} {int(second)}"])


def test_killed_before_the_ledger_had_it_is_filed_by_the_next(address: str | None, state: Path) -> None:
    report = made.report()

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        filing._append = die  # type: ignore[assignment]
        file_report(report, state, address)

    died = FORK.Process(target=run)
    died.start()
    died.join(60)
    assert died.exitcode == -signal.SIGKILL
    assert marks(state) == [report.id]
    (filed,) = file_waiting(state, address)
    assert filed.in_ledger
    assert ids(address, state) == [report.id]
    assert marks(state) == []


def test_mark_without_a_report_is_left_to_whoever_writes_it(state: Path) -> None:
    (state / "reports").mkdir()
    (state / "reports" / f"being-written{MARK}").touch()
    assert file_waiting(state) == []
    assert marks(state) == ["being-written"]


# ---- the database is away


@pytest.mark.device
def test_server_that_comes_back_in_time_gets_the_report(state: Path) -> None:
    report = made.report()
    told: list[str] = []
    with Postgres() as server:
        url = server.new_database()
        Ledger.open(url, state).close()
        server.stop()
        later = threading.Timer(1.5, server.start)
        later.start()
        filed = file_report(report, state, url, patience_s=60, waiting=told.append)
        later.join()
        assert (filed.in_ledger, filed.problem) == (True, None)
        assert len(told) == 1 and "can't be used now" in told[0]
        assert ids(url, state) == [report.id]
        assert marks(state) == []


@pytest.mark.device
def test_server_that_is_away_for_long_gets_the_report_later(state: Path) -> None:
    first, second = made.report(), made.report()
    with Postgres() as server:
        url = server.new_database()
        Ledger.open(url, state).close()
        server.stop()
        for report in (first, second):
            filed = file_report(report, state, url, patience_s=0.3)
            assert not filed.in_ledger
            assert filed.path is not None and Report.read(filed.path) == report
            assert filed.problem is not None and "next:  ./inv ledger" in filed.problem
            assert "a-secret" not in filed.problem
        assert [filed.in_ledger for filed in file_waiting(state, url)] == [False, False]
        assert marks(state) == sorted([first.id, second.id])
        server.start()
        assert [filed.in_ledger for filed in file_waiting(state, url)] == [True, True]
        assert ids(url, state) == [first.id, second.id]
        assert marks(state) == []


@pytest.mark.device
def test_connection_cut_between_two_reports_does_no_harm(state: Path) -> None:
    with Postgres() as server:
        url = server.new_database()
        with Ledger.open(url, state) as ledger:
            ledger.append(made.report("r1"))
            server.stop()
            server.start()
            ledger.append(made.report("r2"))
            assert [entry.id for entry in ledger.reports()] == ["r1", "r2"]


def test_locked_file_is_waited_for(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_PATIENCE_S", 0.05)
    Ledger.open(None, state).close()
    holder = sqlite3.connect(state / addresses.FILE, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    report = made.report()
    told: list[str] = []
    assert not file_report(report, state, patience_s=0).in_ledger
    later = threading.Timer(0.5, holder.execute, ["COMMIT"])
    later.start()
    assert file_report(report, state, patience_s=60, waiting=told.append).in_ledger
    later.join()
    holder.close()
    assert len(told) == 1 and "locked" in told[0]
    assert ids(None, state) == [report.id]


# ---- a disk is full


def _in_little_room(state: Path, report: Report, limit: int, done: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    done.send(file_report(report, state, patience_s=0.3))


def test_full_disk_of_the_ledger_leaves_the_report_for_later(state: Path) -> None:
    with Ledger.open(None, state) as ledger:
        ledger.append_all(made.report(shapes=6) for _ in range(20))
        before = len(ledger.reports())
    report = made.report()
    size = len(files.canonical_json(report.to_json()))
    assert (state / addresses.FILE).stat().st_size > 2 * size
    mine, theirs = FORK.Pipe()
    child = FORK.Process(target=_in_little_room, args=(state, report, 2 * size, theirs))
    child.start()
    child.join(60)
    filed = mine.recv()
    assert not filed.in_ledger
    assert "full" in filed.problem or "I/O error" in filed.problem
    assert Report.read(filed.path) == report
    assert len(ids(None, state)) == before
    (again,) = file_waiting(state)
    assert again.in_ledger
    assert ids(None, state)[-1] == report.id


def test_ledger_that_may_not_grow_says_that_it_is_full(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger.open(None, state).close()
    pages, real = (state / addresses.FILE).stat().st_size // 4096 + 10, addresses.connect

    def small(address: Any) -> Engine:
        engine = real(address)
        event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages}"))
        return engine

    monkeypatch.setattr(addresses, "connect", small)
    kept = [file_report(made.report(shapes=6), state, patience_s=0) for _ in range(12)]
    full = [filed for filed in kept if not filed.in_ledger]
    assert full and len(full) < len(kept)
    assert all("full" in str(filed.problem) for filed in full)
    monkeypatch.undo()
    assert len(file_waiting(state)) == len(full)
    with Ledger.open(None, state) as ledger:
        assert {entry.id for entry in ledger.reports()} == {str(f.path and f.path.stem) for f in kept}
        for filed in kept:
            assert filed.path is not None
            assert ledger.report(filed.path.stem) == Report.read(filed.path)


def _full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_of_the_reports_still_fills_the_ledger(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = made.report()
    monkeypatch.setattr(os, "fsync", _full)
    filed = file_report(report, state, patience_s=0)
    monkeypatch.undo()
    assert (filed.path, filed.in_ledger) == (None, True)
    assert filed.problem is not None and "No space left" in filed.problem and "next:" in filed.problem
    assert list((state / "reports").iterdir()) == []
    with Ledger.open(None, state) as ledger:
        assert ledger.report(report.id) == report


def test_report_that_nothing_takes_raises(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", _full)
    (state / addresses.FILE).mkdir()
    with pytest.raises(ReportNotKept, match="No space left") as caught:
        file_report(made.report(), state, patience_s=0.3)
    assert "make room" in str(caught.value)


# ---- one that can't be filed does not hold up the others


def test_waiting_reports_are_filed_beside_a_damaged_and_a_conflicting_one(state: Path) -> None:
    with Ledger.open(None, state) as ledger:
        ledger.append(made.report("b-conflict"))
    folder = state / "reports"
    for id in ("a-good", "b-conflict", "d-good"):
        made.report(id, warnings=["other"]).write(folder)
    (folder / "c-damaged.json").write_text("{")
    for id in ("a-good", "b-conflict", "c-damaged", "d-good"):
        (folder / f"{id}{MARK}").touch()
    done = {filed.path.stem: filed for filed in file_waiting(state) if filed.path}
    assert {id for id, filed in done.items() if filed.in_ledger} == {"a-good", "d-good"}
    assert "another report" in str(done["b-conflict"].problem)
    assert "no report" in str(done["c-damaged"].problem)
    assert marks(state) == ["b-conflict", "c-damaged"]
    assert sorted(ids(None, state)) == ["a-good", "b-conflict", "d-good"]


def until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never got that far"
        time.sleep(0.002)
