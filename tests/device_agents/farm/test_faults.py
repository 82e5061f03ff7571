"""What goes wrong on a device, or at either end of the link, in mid-job: told plainly, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from device_agents.errors import AgentLost, BundleError, DeviceBusy, DeviceFolderError
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry
from tests.device_agents.farm.jobs import Make, agents_of, quick_job, wait_until, worker_of
from tests.device_agents.tiny import tiny_manifest

pytestmark = pytest.mark.slow


def test_install_of_a_damaged_bundle_is_refused_here(device: Device, bundle: Make) -> None:
    made = bundle()
    made.model_file.write_bytes(b"not the model")
    with pytest.raises(BundleError, match="corrupted"):
        device.install(made.folder)


def test_measure_refuses_a_bundle_that_was_damaged_on_the_device(device: Device, bundle: Make) -> None:
    job = quick_job(device, bundle("whole"), bundle("damaged", width=16))
    model = Path(job.variants[1].bundle.path, "model.onnx")
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    report = device.measure(job)
    assert report.results[0]["error"] is None
    assert "corrupted" in report.results[1]["error"]
    assert not report.results[1]["loads"]
    assert not report.valid
    assert any("damaged has no samples" in problem for problem in report.problems)


def test_measure_refuses_a_manifest_that_was_changed_on_the_device(device: Device, bundle: Make) -> None:
    job = quick_job(device, bundle())
    manifest = Path(job.variants[0].bundle.path, "manifest.json")
    manifest.write_text(manifest.read_text().replace("model.onnx", "other.onnx"))
    assert "not the one that was sent" in device.measure(job).results[0]["error"]


def test_measure_names_a_model_that_does_not_load(device: Device, bundle: Make, tmp_path: Path) -> None:
    from device_agents.bundle import write_bundle

    (tmp_path / "bad.onnx").write_bytes(b"this is no model")
    bad = write_bundle(tmp_path / "bad", tmp_path / "bad.onnx", tiny_manifest("bad"))
    report = device.measure(quick_job(device, bundle("good"), bad))
    assert report.results[0]["error"] is None
    assert report.results[1]["error"]
    assert not report.valid


def test_measure_names_an_evaluation_file_that_does_not_fit(device: Device, bundle: Make, tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "other.npz", z=np.zeros((3, 1, 8, 8), np.float32))
    report = device.measure(quick_job(device, bundle(), evaluation=device.push_data(tmp_path / "other.npz")))
    assert "has no array x" in report.results[0]["error"]


def test_measure_kills_and_names_a_worker_over_the_memory_limit(device: Device, bundle: Make) -> None:
    report = device.measure(quick_job(device, bundle(), memory_limit_bytes=20_000_000))
    assert "the limit is 20000000" in report.results[0]["error"]
    assert not report.valid
    assert len(agents_of(device.root)) == 0


def test_measure_ends_at_its_time_limit(device: Device, bundle: Make) -> None:
    report = device.measure(quick_job(device, bundle(), blocks=100, block_seconds=1.0, samples=1, time_limit_s=4.0))
    assert "time limit" in report.results[0]["error"]


def test_measure_names_a_worker_that_crashes(device: Device, bundle: Make) -> None:
    def crash(event: dict[str, Any]) -> None:
        if event["kind"] == "loaded" and event["process"] == 0:
            held_by = json.loads(Path(device.root, "lock").read_text())
            os.kill(worker_of(held_by["pid"]), signal.SIGSEGV)

    report = device.measure(quick_job(device, bundle()), crash)
    assert "SIGSEGV" in report.results[0]["error"]


def test_measure_on_a_busy_device_names_the_holder(
    device: Device, entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path
) -> None:
    job = quick_job(device, bundle(), blocks=50, block_seconds=0.2)
    started = threading.Event()
    failed: list[BaseException] = []

    def hold() -> None:
        try:
            device.measure(job, lambda event: started.set() if event["kind"] == "block" else None)
        except BaseException as error:
            failed.append(error)

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        assert started.wait(60)
        same = entry.model_copy(update={"root": device.root})
        with open_device(same, state=tmp_path / "state", cache=cache) as other:
            with pytest.raises(DeviceBusy) as caught:
                other.measure(job)
            assert caught.value.holder["what"] == "tiny > raspberry-pi"
            assert caught.value.holder["host"] in str(caught.value)
            held_by = other.holder()
            assert held_by is not None
            os.kill(held_by["pid"], signal.SIGTERM)
            holding.join(30)
            assert not holding.is_alive()
            # It ended without its marker, which is what SIGTERM looks like from here; the lock went with it.
            assert isinstance(failed[0], AgentLost)
            assert other.holder() is None
            assert other.measure(quick_job(other, bundle())).results[0]["error"] is None
    finally:
        holding.join(60)


def test_measure_waits_for_the_lock_when_asked_to(
    device: Device, entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path
) -> None:
    job = quick_job(device, bundle())
    started = threading.Event()
    holding = threading.Thread(
        target=device.measure, args=(job, lambda event: started.set() if event["kind"] == "loaded" else None)
    )
    holding.start()
    assert started.wait(60)
    same = entry.model_copy(update={"root": device.root})
    with open_device(same, state=tmp_path / "state", cache=cache) as other:
        assert other.measure(job.model_copy(update={"wait_s": 60.0})).results[0]["error"] is None
    holding.join(60)


def test_agent_killed_in_mid_run_is_told_and_frees_the_lock(device: Device, bundle: Make) -> None:
    def kill(event: dict[str, Any]) -> None:
        if event["kind"] == "block":
            held_by = json.loads(Path(device.root, "lock").read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(held_by["pid"], signal.SIGKILL)

    with pytest.raises(AgentLost, match="without its closing marker"):
        device.measure(quick_job(device, bundle(), blocks=50, block_seconds=0.2), kill)
    wait_until(lambda: not agents_of(device.root), "the workers die with their agent")
    assert device.holder() is None
    assert device.measure(quick_job(device, bundle())).results[0]["error"] is None


_HOST = """
import json, sys
from pathlib import Path
from device_agents.farm.device import open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job
entry = DeviceEntry.model_validate_json(sys.argv[1])
with open_device(entry, state=Path(sys.argv[2]), cache=Path(sys.argv[3])) as device:
    device.measure(Job.model_validate_json(sys.argv[4]), lambda event: print(event["kind"], flush=True))
"""


def test_host_killed_in_mid_run_ends_the_agent_and_frees_the_lock(
    device: Device, entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path, project_root: Path
) -> None:
    device.prepare("onnxruntime")
    job = quick_job(device, bundle(), blocks=200, block_seconds=0.2)
    same = entry.model_copy(update={"root": device.root})
    arguments = [same.model_dump_json(), str(tmp_path / "state"), str(cache), job.model_dump_json()]
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, *arguments],
        cwd=project_root,
        env={**os.environ, "PYTHONPATH": str(project_root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert host.stdout is not None
    for line in host.stdout:
        if line.strip() == "block":
            break
    assert device.holder() is not None
    host.kill()
    host.wait()
    host.stdout.close()
    wait_until(lambda: not agents_of(device.root), "the agent and its workers end")
    assert device.holder() is None
    assert device.measure(quick_job(device, bundle())).results[0]["error"] is None


def test_garbage_on_the_agents_stdout_is_left_out_and_told(
    entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path
) -> None:
    chatty = tmp_path / "chatty python"
    from device_agents.connect.local import base_python

    chatty.write_text(f'#!/bin/sh\nprintf "welcome\\n\\377\\376{{\\n[1, 2]\\n"\nexec "{base_python()}" "$@"\n')
    chatty.chmod(0o755)
    noisy = entry.model_copy(update={"root": str(tmp_path / "root"), "python": str(chatty)})
    with open_device(noisy, state=tmp_path / "state", cache=cache) as device:
        report = device.measure(quick_job(device, bundle()))
    assert report.results[0]["error"] is None
    assert any("not its own" in warning for warning in report.warnings)


def test_agents_folder_that_cannot_be_made_is_told(entry: DeviceEntry, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = entry.model_copy(update={"root": str(tmp_path / "file" / "root")})
    with pytest.raises(DeviceFolderError) as caught:
        open_device(blocked, state=tmp_path / "state", cache=cache)
    assert "root =" in caught.value.remedy
