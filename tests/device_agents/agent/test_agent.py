"""The agent as a program, under every Python that devices have: its commands, its end, its host's death."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.device import open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.job import Job, JobVariant
from device_agents.pack import agent
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.tiny import evaluation, tiny_bundle
from tests.prerequisites import require

MINORS = [8, 9, 10, 11, 12, 13]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The zipapp as a file."""
    path = tmp_path / "agent.pyz"
    path.write_bytes(agent().data)
    return path


@pytest.fixture(params=MINORS)
def interpreter(request: pytest.FixtureRequest) -> str:
    """Each Python from 3.8 on. 3.8 is what the promise is about; the others may be missing on a person's machine."""
    found = python(request.param)
    require(found, HOW.format(request.param))
    assert found is not None
    return found


def _lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def _run(interpreter: str, packed: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([interpreter, "-I", str(packed), *arguments], capture_output=True, timeout=60, check=False)


def test_probe_ends_with_its_marker(interpreter: str, packed: Path) -> None:
    first, last = _lines(_run(interpreter, packed, "probe"))
    assert first["kind"] == "probe"
    assert first["facts"]["python"].split(".")[:2] == _run_version(interpreter)
    assert last == {"kind": "end", "ok": True}


def _run_version(interpreter: str) -> list[str]:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return (
        subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout.strip().split(".")
    )


def test_holder_of_a_free_device_is_nobody(interpreter: str, packed: Path, tmp_path: Path) -> None:
    first, _ = _lines(_run(interpreter, packed, "holder", "--root", str(tmp_path)))
    assert first["holder"] is None


def test_sha256_of_a_missing_file_ends_with_an_error(interpreter: str, packed: Path, tmp_path: Path) -> None:
    done = _run(interpreter, packed, "sha256", str(tmp_path / "missing"))
    assert done.returncode == 1
    assert _lines(done)[-1]["ok"] is False


def test_run_without_a_job_ends_with_an_error(interpreter: str, packed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [interpreter, "-I", str(packed), "run", "--root", str(tmp_path)],
        input=b"no job\n",
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert _lines(done)[-1]["error"] == "job"


def _held(interpreter: str, packed: Path, root: Path, **changes: Any) -> subprocess.Popen[bytes]:
    """An agent whose job waits for a lock that this test holds."""
    job = {"time_limit_s": 600, "wait_s": 600, "variants": [], "threads": 1, "cpus": "auto", **changes}
    running = subprocess.Popen(
        [interpreter, "-I", str(packed), "run", "--root", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdin is not None
    running.stdin.write(json.dumps(job).encode() + b"\n")
    running.stdin.flush()
    return running


def test_host_that_closes_the_connection_ends_the_agent(interpreter: str, packed: Path, tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = _held(interpreter, packed, tmp_path)
        time.sleep(1.0)
        assert running.poll() is None
        out, errors = running.communicate(timeout=20)  # closes its stdin
    assert running.returncode == 4
    assert b"the host is gone" in errors
    assert b'"end"' not in out


@pytest.mark.slow
def test_host_that_falls_silent_ends_the_agent(packed: Path, tmp_path: Path) -> None:
    import fcntl
    import sys

    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = _held(sys.executable, packed, tmp_path, silence_s=1.0)
        assert running.wait(timeout=30) == 4
        running.communicate()


@pytest.mark.slow
def test_job_runs_under_the_oldest_python(tmp_path: Path, cache: Path) -> None:
    found = python(8)
    require(found, HOW.format(8))
    assert found is not None
    made = tiny_bundle(tmp_path / "bundle")
    path, _, _ = evaluation(tmp_path / "evaluation.npz")
    entry = stand_in("raspberry-pi").model_copy(update={"python": found})
    with open_device(entry, state=tmp_path / "state", cache=cache) as device:
        variants = [JobVariant(name="tiny", bundle=device.install(made.folder))]
        report = device.measure(
            Job(
                model="tiny",
                target="raspberry-pi",
                variants=variants,
                evaluation=device.push_data(path),
                processes=1,
                blocks=2,
            )
        )
    result = report.results[0]
    assert result["error"] is None
    assert result["accuracy"]["n"] == 150
    assert result["peak_bytes"] > 0
    assert report.facts["python"].startswith("3.8.")
    assert report.runtime["version"] == "1.19.2"
