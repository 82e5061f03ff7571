"""A reservation on the device: whose it is, when it ends whatever the clocks say, and who gets it of several."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent.lock import Lock
from device_agents.agent.reserve import (
    FILE,
    FOLDER,
    Reserved,
    in_force,
    new,
    parsed,
    refuse,
    release,
    reserve,
    standing,
)
from device_agents.pack import agent
from tests.device_agents.agent.pythons import HOW, python
from tests.prerequisites import require

ADA = {"who": "ada", "host": "bench"}
BOB = {"who": "bob", "host": "bench"}
NOON = 1_790_000_000.0
"""A host's clock."""


def _board(folder: Path, boot_id: str | None = "first", uptime: float | None = 1000.0) -> str:
    """The /proc of a device that has run since some start for so many seconds; as --sysroot takes it."""
    for name, text in (("sys/kernel/random/boot_id", boot_id), ("uptime", uptime)):
        path = folder / "board" / "proc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text} 1.0\n" if name == "uptime" else f"{text}\n")
        if text is None:
            path.unlink()
    return str(folder / "board")


def test_reservation_tells_whose_it_is_and_how_long_it_lasts(tmp_path: Path) -> None:
    board = _board(tmp_path)
    assert standing(str(tmp_path), NOON, board) is None
    reserve(str(tmp_path), ADA, 7200, "a new kernel", NOON, board)
    found = standing(str(tmp_path), NOON + 600, board)
    assert found is not None
    assert (found["who"], found["host"], found["note"], found["left_s"]) == ("ada", "bench", "a new kernel", 6600)


def test_somebody_else_is_refused_and_the_owner_is_not(tmp_path: Path) -> None:
    reserve(str(tmp_path), ADA, 7200, "", NOON)
    refuse(str(tmp_path), ADA, NOON)
    for other in (BOB, {"who": "ada", "host": "laptop"}, {}):
        with pytest.raises(Reserved) as caught:
            refuse(str(tmp_path), other, NOON)
        assert caught.value.reservation["who"] == "ada"
        with pytest.raises(Reserved):
            reserve(str(tmp_path), other, 60, "", NOON)
        with pytest.raises(Reserved):
            release(str(tmp_path), other, NOON)
    found = standing(str(tmp_path), NOON)
    assert found is not None and found["seconds"] == 7200


def test_owner_may_change_the_length(tmp_path: Path) -> None:
    reserve(str(tmp_path), ADA, 7200, "", NOON)
    reserve(str(tmp_path), ADA, 60, "nearly done", NOON)
    found = standing(str(tmp_path), NOON)
    assert found is not None and found["note"] == "nearly done"
    assert 0 < found["left_s"] <= 60


def test_release_gives_back_what_there_was(tmp_path: Path) -> None:
    assert release(str(tmp_path), ADA, NOON) is None
    reserve(str(tmp_path), ADA, 7200, "", NOON)
    found = release(str(tmp_path), ADA, NOON)
    assert found is not None and found["who"] == "ada"
    assert standing(str(tmp_path), NOON) is None
    refuse(str(tmp_path), BOB, NOON)


def test_release_anyway_takes_somebody_elses_and_says_whose_it_was(tmp_path: Path) -> None:
    reserve(str(tmp_path), ADA, 7200, "", NOON)
    found = release(str(tmp_path), BOB, NOON, anyway=True)
    assert found is not None and found["who"] == "ada"
    assert standing(str(tmp_path), NOON) is None


def test_reservation_is_made_while_a_job_runs(tmp_path: Path) -> None:
    with Lock(str(tmp_path), BOB):
        reserve(str(tmp_path), ADA, 7200, "", NOON)
    with pytest.raises(Reserved):
        refuse(str(tmp_path), BOB, NOON)


def test_host_clock_ends_it_also_after_a_restart(tmp_path: Path) -> None:
    reserve(str(tmp_path), ADA, 7200, "", NOON, _board(tmp_path))
    after = _board(tmp_path, "second", 5.0)
    assert standing(str(tmp_path), NOON + 7199, after) is not None
    assert standing(str(tmp_path), NOON + 7201, after) is None


def test_time_since_the_start_ends_it_where_a_host_clock_was_wrong(tmp_path: Path) -> None:
    """Whoever reserved was ten years ahead."""
    ahead = NOON + 10 * 365 * 86400
    reserve(str(tmp_path), ADA, 7200, "", ahead, _board(tmp_path))
    board = _board(tmp_path, uptime=1000.0 + 7199)
    found = standing(str(tmp_path), NOON, board)
    assert found is not None and found["left_s"] == pytest.approx(1)
    assert standing(str(tmp_path), NOON, _board(tmp_path, uptime=1000.0 + 7201)) is None


def test_it_never_lasts_longer_than_its_length(tmp_path: Path) -> None:
    """Whoever reads is years behind, and the device has restarted."""
    reserve(str(tmp_path), ADA, 7200, "", NOON, _board(tmp_path))
    found = standing(str(tmp_path), NOON - 3e8, _board(tmp_path, "second", 5.0))
    assert found is not None and found["left_s"] == 7200


def test_clock_of_the_device_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "time", lambda: 0.0)
    reserve(str(tmp_path), ADA, 7200, "", NOON, _board(tmp_path))
    monkeypatch.setattr(time, "time", lambda: 4e9)
    found = standing(str(tmp_path), NOON + 60, _board(tmp_path, uptime=1060.0))
    assert found is not None and found["left_s"] == 7140


@pytest.mark.parametrize(("boot_id", "uptime"), [(None, 1000.0), ("first", None), (None, None)])
def test_device_that_does_not_tell_its_start_goes_by_the_hosts(
    tmp_path: Path, boot_id: str | None, uptime: float | None
) -> None:
    board = _board(tmp_path, boot_id, uptime)
    reserve(str(tmp_path), ADA, 7200, "", NOON, board)
    found = standing(str(tmp_path), NOON + 7000, board)
    assert found is not None and found["left_s"] == 200
    assert standing(str(tmp_path), NOON + 7201, board) is None


def test_without_a_host_clock_it_stands_for_its_length() -> None:
    made = new(ADA, 7200, "", NOON, "first", 1000.0)
    assert in_force(made, None, "second", 5.0) == {**made, "left_s": 7200}
    assert in_force(made, None, "first", 9000.0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"seconds": "soon", "until": 1}',
        '{"seconds": 1e999, "until": 1}',
        '{"seconds": 60, "until": NaN}',
        '{"seconds": 60, "until": 1, "since_start_s": []}',
        '{"seconds": ' + "9" * 5000 + ', "until": 1}',
        "[" * 100_000,
    ],
)
def test_what_is_no_reservation_reserves_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / FOLDER / FILE
    path.parent.mkdir()
    path.write_text(text)
    assert parsed(text) is None
    refuse(str(tmp_path), BOB, NOON)
    reserve(str(tmp_path), BOB, 60, "", NOON)
    assert standing(str(tmp_path), NOON) is not None


def test_write_that_fails_leaves_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    reserve(str(tmp_path), ADA, 7200, "", NOON)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        reserve(str(tmp_path), ADA, 60, "", NOON)
    found = standing(str(tmp_path), NOON)
    assert found is not None and found["seconds"] == 7200
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [FILE, "lock"]


def test_of_many_who_ask_at_once_one_gets_it(tmp_path: Path) -> None:
    for turn in range(5):
        root = str(tmp_path / str(turn))
        start = threading.Barrier(8)

        def ask(number: int, root: str = root, start: threading.Barrier = start) -> bool:
            start.wait()
            try:
                reserve(root, {"who": str(number), "host": "bench"}, 60, "", NOON)
            except Reserved:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = [number for number, got in enumerate(pool.map(ask, range(8))) if got]
        found = standing(root, NOON)
        assert found is not None and [found["who"]] == [str(number) for number in won]


def _agent(folder: Path, *arguments: str, job: Any = None, interpreter: str = sys.executable) -> tuple[int, Any]:
    """Exit status and the lines of a command of the packed agent, whose stdin stays open until it has ended."""
    packed = folder / "agent.pyz"
    packed.write_bytes(agent().data)
    command = [interpreter, "-I", str(packed), *arguments, "--root", str(folder / "root")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(json.dumps(job).encode() + b"\n")
        running.stdin.flush()
        lines = [json.loads(line) for line in running.stdout]
        return running.wait(timeout=60), lines


def _of(who: dict[str, str], now: float = NOON) -> list[str]:
    return [f"--now={now}", f"--who={who['who']}", f"--host={who['host']}"]


def test_commands_of_the_oldest_python_reserve_refuse_and_release(tmp_path: Path) -> None:
    found = python(8)
    require(found, HOW.format(8))
    assert found is not None

    def run(*arguments: str) -> tuple[int, Any]:
        return _agent(tmp_path, *arguments, interpreter=found)

    status, lines = run("reserve", *_of(ADA), "--seconds=7200", '--note=--it\'s "mine"')
    assert status == 0 and lines[-1] == {"kind": "end", "ok": True}
    status, lines = run("reserve", *_of(BOB), "--seconds=60")
    assert status == 3 and lines[-1]["error"] == "reserved" and lines[-1]["holder"]["who"] == "ada"
    _, lines = run("reservation", *_of(BOB))
    assert lines[0]["reservation"]["note"] == '--it\'s "mine"' and lines[0]["reservation"]["left_s"] > 7000
    status, lines = run("release", *_of(BOB), "--anyway")
    assert status == 0 and lines[0]["reservation"]["who"] == "ada"
    assert run("reservation", *_of(BOB))[1][0]["reservation"] is None


def test_erase_is_refused_on_a_device_that_somebody_else_has(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bundles").mkdir(parents=True)
    reserve(str(root), ADA, 7200, "", NOON)
    status, lines = _agent(tmp_path, "erase", *_of(BOB))
    assert status == 3 and lines[-1]["error"] == "reserved"
    assert (root / "bundles").exists()
    status, lines = _agent(tmp_path, "erase", *_of(ADA))
    assert status == 0 and lines[0]["left"] == []
    assert not root.exists()


def test_job_is_refused_under_the_lock_and_the_owners_runs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    reserve(str(root), ADA, 7200, "", NOON)
    job = {"time_limit_s": 60, "variants": [], "threads": 1, "cpus": "auto", "processes": 0, "blocks": 1}
    status, lines = _agent(tmp_path, "run", job={**job, "holder": BOB, "now": NOON + 60})
    assert status == 3 and [line["kind"] for line in lines if line["kind"] != "beat"] == ["end"]
    assert lines[-1]["error"] == "reserved" and 7000 < lines[-1]["holder"]["left_s"] <= 7140
    status, lines = _agent(tmp_path, "run", job={**job, "holder": ADA, "now": NOON + 60})
    assert status == 0 and lines[0]["kind"] == "start"
    status, lines = _agent(tmp_path, "run", job={**job, "holder": BOB, "now": NOON + 7201})
    assert status == 0 and lines[0]["kind"] == "start"
