"""The journal of a job: a finished one survives this machine's end, an unfinished one never makes a report."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from device_agents.errors import AgentFailed, AgentLost
from device_agents.farm.device import Device
from device_agents.farm.journal import FOLDER
from device_agents.farm.recovery import RECOVERED, REPORTS, recover
from device_agents.farm.report import Report
from tests.device_agents.farm.jobs import Make, quick_job
from tests.device_agents.farm.replay import ReplayConnection, device_of, job_of, stream_of, written

JOB = job_of("a", "b", canary=True)
SANE = stream_of(JOB)
LOOK = {"kind": "look", "processes": 2}


def _measured(folder: Path, events: list[dict[str, Any]] = SANE, **options: Any) -> Report:
    return device_of(ReplayConnection(written(events)), folder).measure(JOB, **options)


def _journals(folder: Path) -> list[Path]:
    return sorted((folder / "state" / FOLDER).iterdir())


def test_written_report_takes_its_journal_away(tmp_path: Path) -> None:
    report = _measured(tmp_path)
    assert [path.stem for path in _journals(tmp_path)] == [report.id]
    report.write(tmp_path / "state" / REPORTS)
    assert _journals(tmp_path) == []
    assert recover(tmp_path / "state") == []


def test_journal_is_no_part_of_the_report(tmp_path: Path) -> None:
    report = _measured(tmp_path)
    assert "journal" not in report.to_json()


def test_report_that_was_never_written_is_recovered(tmp_path: Path) -> None:
    lost = _measured(tmp_path, commit="abc123")
    expected = lost.to_json()
    assert lost.journal is not None
    lost.journal.close()  # as the kernel does for a process that is killed
    (found,) = recover(tmp_path / "state")
    told = found.to_json()
    assert told.pop("warnings") == [*expected.pop("warnings"), RECOVERED]
    assert told.pop("finished") <= expected.pop("finished")
    assert told == expected
    found.write(tmp_path / "state" / REPORTS)
    assert _journals(tmp_path) == [] == recover(tmp_path / "state")


def test_recovered_job_has_what_was_granted_besides(tmp_path: Path) -> None:
    extra = [event | {"process": 2} for event in SANE if event.get("process") == 1]
    events = [*SANE[:-2], LOOK, *extra, *SANE[-2:]]
    lost = _measured(tmp_path, events, more=lambda results: 1)
    assert lost.journal is not None
    lost.journal.close()
    (found,) = recover(tmp_path / "state")
    assert found.results == lost.results
    assert found.valid


def test_journal_of_a_job_whose_report_is_there_just_goes(tmp_path: Path) -> None:
    report = _measured(tmp_path)
    assert report.journal is not None
    report.journal.close()
    report.write(tmp_path / "state" / REPORTS)  # killed between writing it and taking the journal away
    assert _journals(tmp_path) != []
    assert recover(tmp_path / "state") == [] == _journals(tmp_path)


def test_journal_that_somebody_writes_is_left_alone(tmp_path: Path) -> None:
    report = _measured(tmp_path)
    os.utime(_journals(tmp_path)[0], (0, 0))
    assert recover(tmp_path / "state") == []
    assert [path.stem for path in _journals(tmp_path)] == [report.id]


@pytest.mark.parametrize("events", [SANE[:-1], [*SANE[:-1], {"kind": "end", "ok": False}]], ids=["lost", "failed"])
def test_unfinished_job_makes_no_report_and_goes_after_a_day(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    with pytest.raises((AgentLost, AgentFailed)):
        _measured(tmp_path, events)
    assert recover(tmp_path / "state") == []
    (path,) = _journals(tmp_path)
    os.utime(path, (time.time() - 90_000,) * 2)
    assert recover(tmp_path / "state") == [] == _journals(tmp_path)


def test_finished_job_of_another_version_is_left_for_it(tmp_path: Path) -> None:
    """A field of its job that this version doesn't know: no report, and nothing is thrown away."""
    report = _measured(tmp_path)
    assert report.journal is not None
    report.journal.close()
    (path,) = _journals(tmp_path)
    head, _, rest = path.read_bytes().partition(b"\n")
    told = json.loads(head)
    told["job"]["of_a_later_version"] = 1
    path.write_bytes(json.dumps(told).encode() + b"\n" + rest)
    os.utime(path, (time.time() - 90_000,) * 2)
    assert recover(tmp_path / "state") == []
    assert _journals(tmp_path) == [path]


@pytest.mark.parametrize("cut", [0, 1, 100, 3000, -1, -5, -20])
def test_journal_cut_anywhere_never_raises(tmp_path: Path, cut: int) -> None:
    report = _measured(tmp_path)
    assert report.journal is not None
    report.journal.close()
    (path,) = _journals(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    found = recover(tmp_path / "state")
    assert len(found) == (cut == -1)  # only the line's end is missing


@pytest.mark.parametrize("text", ["", "{}", "[]\n", '{"schema":"edgewright-journal/1"}\n', "[" * 100_000, "\x00\xff"])
def test_file_that_is_no_journal_never_raises(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "state" / FOLDER
    folder.mkdir(parents=True)
    (folder / "x.jsonl").write_text(text)
    (folder / "folder.jsonl").mkdir()
    (folder / "link.jsonl").symlink_to(tmp_path / "elsewhere")
    assert recover(tmp_path / "state") == []
    assert (folder / "x.jsonl").exists()


def test_recover_without_any_journal_is_nothing(tmp_path: Path) -> None:
    assert recover(tmp_path) == []


def test_oldest_journal_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = _measured(tmp_path)
    monkeypatch.setattr("device_agents.farm.device.now", lambda: "2020-01-01T00:00:00Z")
    first = _measured(tmp_path)
    for report in (first, second):
        assert report.journal is not None
        report.journal.close()
    assert [report.id for report in recover(tmp_path / "state")] == [first.id, second.id]


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_full_disk_ends_the_journal_and_not_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    device = device_of(ReplayConnection(written(SANE)), tmp_path)
    real = getattr(os, call)
    calls = []

    def full(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if call != "write" or len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given, **options)

    monkeypatch.setattr(f"device_agents.farm.journal.os.{call}", full)
    report = device.measure(JOB)
    monkeypatch.undo()
    assert report.valid
    assert "the job's journal could not be kept (No space left on device)" in report.warnings
    assert not list((tmp_path / "state").rglob("*.jsonl"))
    assert Report.read(report.write(tmp_path / "state" / REPORTS)) == report


def test_state_folder_that_cannot_be_made_ends_no_job(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    assert any("journal could not be kept" in text for text in _measured(tmp_path).warnings)


_HOST = """
import os, resource, sys
from pathlib import Path
from device_agents.farm.device import Device
from tests.device_agents.farm.replay import ReplayConnection, device_of, job_of, stream_of, written

job = job_of("a", "b", canary=True)
device = device_of(ReplayConnection(written(stream_of(job))), Path(sys.argv[1]))
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
report = device.measure(job)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), 9)
print(report.valid, *report.warnings)
"""


def _host(folder: Path, how: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _HOST, str(folder), how],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_host_killed_before_it_wrote_the_report_loses_nothing(tmp_path: Path, project_root: Path) -> None:
    assert _host(tmp_path, "kill", project_root).returncode == -signal.SIGKILL
    (found,) = recover(tmp_path / "state")
    assert found.valid
    assert [len(result["blocks"]) for result in found.results] == [4, 4]


def test_host_out_of_room_for_the_journal_still_reports(tmp_path: Path, project_root: Path) -> None:
    done = _host(tmp_path, "limit", project_root)
    assert done.stdout.startswith("True"), done.stderr
    assert "the job's journal could not be kept (File too large)" in done.stdout
    assert recover(tmp_path / "state") == [] == _journals(tmp_path)


@pytest.mark.slow
def test_real_job_is_recovered_as_it_was_measured(device: Device, bundle: Make, tmp_path: Path) -> None:
    report = device.measure(quick_job(device, bundle(), settle_s=0.0))
    assert report.journal is not None
    kept = json.loads(report.journal.path.read_bytes().splitlines()[0])
    assert kept["report"] == report.id
    report.journal.close()
    (found,) = recover(tmp_path / "state")
    expected, told = report.to_json(), found.to_json()
    for changed in ("finished", "warnings"):
        del expected[changed], told[changed]
    assert told == expected
