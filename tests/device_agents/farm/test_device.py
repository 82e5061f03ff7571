"""A device from end to end, on this machine and over SSH: runtime, bundle, measurement, report."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle
from device_agents.errors import AgentLost, BundleError, DeviceBusy, DeviceFolderError
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.report import Report
from tests.device_agents.tiny import evaluation, tiny_manifest

pytestmark = pytest.mark.slow

Make = Callable[..., Bundle]


def _job(device: Device, *bundles: Bundle, **changes: Any) -> Job:
    variants = [JobVariant(name=one.manifest.name, bundle=device.install(one.folder)) for one in bundles]
    quick = {"processes": 2, "blocks": 2, "block_seconds": 0.02, "warmup_seconds": 0.02}
    return Job(**{"model": "tiny", "target": "raspberry-pi", "variants": variants, **quick, **changes})


def _worker_of(agent_pid: int) -> int:
    """A child of the agent, as the kernel lists it."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == agent_pid:
                    return int(folder.name)
            except (OSError, IndexError):
                continue
    raise AssertionError("the agent has no worker")


def _agents(root: str) -> list[int]:
    """Processes that run an agent out of `root`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{root}/agent/".encode() in line and b"python" in line.partition(b"\0")[0]:
                found.append(int(folder.name))
    return found


def _wait_until(true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def test_probe_says_what_the_device_is(device: Device) -> None:
    found = device.probe()
    assert found["facts"]["machine"] == os.uname().machine
    assert found["facts"]["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found["state"]["memory_available_bytes"] > 0


def test_prepare_sends_the_runtime_once(device: Device, entry: DeviceEntry, cache: Path, tmp_path: Path) -> None:
    first = device.prepare("onnxruntime")
    assert first.sent
    again = entry.model_copy(update={"root": device.root})
    with open_device(again, state=tmp_path / "state", cache=cache) as other:
        second = other.prepare("onnxruntime")
    assert not second.sent
    assert (second.digest, second.folder) == (first.digest, first.folder)
    assert not Path(device.root, "wheels").exists() or not list(Path(device.root, "wheels").iterdir())


def test_install_of_what_is_there_sends_nothing(
    device: Device, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bundle()
    first = device.install(made.folder)

    def refuse(*given: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(device.connection, "append", refuse)
    assert device.install(made.folder) == first
    assert Path(first.path, "manifest.json").read_bytes() == made.manifest.canonical()


def test_install_of_a_damaged_bundle_is_refused_here(device: Device, bundle: Make) -> None:
    made = bundle()
    made.model_file.write_bytes(b"not the model")
    with pytest.raises(BundleError, match="corrupted"):
        device.install(made.folder)


def test_measure_gives_a_whole_report(device: Device, bundle: Make, tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    path, x, y = evaluation(tmp_path / "evaluation.npz")
    small, big = bundle("small"), bundle("big", width=24)
    saved = f"{device.root}/outputs/small.npy"
    job = _job(device, small, big, evaluation=device.push_data(path), blocks=3)
    job = job.model_copy(
        update={"variants": [job.variants[0].model_copy(update={"save_outputs": saved}), job.variants[1]]}
    )
    events: list[dict[str, Any]] = []
    report = device.measure(job, events.append)

    assert [result["name"] for result in report.results] == ["small", "big"]
    for result, made in zip(report.results, (small, big), strict=True):
        assert result["error"] is None
        assert result["bundle"] == made.digest
        assert [load["process"] for load in result["loads"]] == [0, 1]
        assert all(load["load_ns"] > 0 and load["first_ns"] > 0 for load in result["loads"])
        assert [(block["process"], block["round"]) for block in result["blocks"]] == [
            (process, number) for process in range(2) for number in range(3)
        ]
        assert all(len(block["samples_ns"]) >= 20 and min(block["samples_ns"]) > 0 for block in result["blocks"])
        assert result["peak_bytes"] > result["base_bytes"] > 10_000_000
        assert result["providers"] == ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(made.model_file), providers=["CPUExecutionProvider"])
        expected = session.run(None, {"x": x})[0]
        assert result["accuracy"]["n"] == 150
        assert result["accuracy"]["value"] == pytest.approx(float((expected.argmax(-1) == y).mean()), abs=1e-9)
    session = onnxruntime.InferenceSession(str(small.model_file), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(np.load(saved), session.run(None, {"x": x})[0], atol=1e-5)

    # ABBA: what came first in one round comes last in the next.
    positions = [block["position"] for block in report.results[0]["blocks"]]
    assert positions == [0, 1, 0, 0, 1, 0]
    assert len(report.canary) == 2 * 3 * 2
    assert len(report.cpus) == 1
    assert {event["kind"] for event in events} >= {"start", "loaded", "block", "canary", "memory", "accuracy", "end"}
    assert report.runtime["version"] == device.prepare("onnxruntime").version
    assert report.valid == (not report.problems)

    written = report.write(tmp_path / "reports")
    assert Report.read(written) == report
    assert json.loads(written.read_text())["schema"] == "edgewright-report/1"


def test_measure_without_evaluation_times_seeded_noise(device: Device, bundle: Make) -> None:
    report = device.measure(_job(device, bundle()))
    assert report.results[0]["accuracy"] is None
    assert report.results[0]["blocks"]


def test_measure_follows_a_models_fixed_batch(device: Device, bundle: Make, tmp_path: Path) -> None:
    path, _, _ = evaluation(tmp_path / "evaluation.npz")
    data = device.push_data(path)
    report = device.measure(
        _job(device, bundle("one", batch=1), bundle("four", batch=4), bundle("any"), evaluation=data)
    )
    assert [result["error"] for result in report.results] == [None, None, None]
    found = {(result["accuracy"]["value"], result["accuracy"]["n"]) for result in report.results}
    assert len(found) == 1


def test_measure_refuses_a_bundle_that_was_damaged_on_the_device(device: Device, bundle: Make) -> None:
    job = _job(device, bundle("whole"), bundle("damaged", width=16))
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
    job = _job(device, bundle())
    manifest = Path(job.variants[0].bundle.path, "manifest.json")
    manifest.write_text(manifest.read_text().replace("model.onnx", "other.onnx"))
    assert "not the one that was sent" in device.measure(job).results[0]["error"]


def test_measure_names_a_model_that_does_not_load(device: Device, bundle: Make, tmp_path: Path) -> None:
    from device_agents.bundle import write_bundle

    (tmp_path / "bad.onnx").write_bytes(b"this is no model")
    bad = write_bundle(tmp_path / "bad", tmp_path / "bad.onnx", tiny_manifest("bad"))
    report = device.measure(_job(device, bundle("good"), bad))
    assert report.results[0]["error"] is None
    assert report.results[1]["error"]
    assert not report.valid


def test_measure_names_an_evaluation_file_that_does_not_fit(device: Device, bundle: Make, tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "other.npz", z=np.zeros((3, 1, 8, 8), np.float32))
    report = device.measure(_job(device, bundle(), evaluation=device.push_data(tmp_path / "other.npz")))
    assert "has no array x" in report.results[0]["error"]


def test_measure_kills_and_names_a_worker_over_the_memory_limit(device: Device, bundle: Make) -> None:
    report = device.measure(_job(device, bundle(), memory_limit_bytes=20_000_000))
    assert "the limit is 20000000" in report.results[0]["error"]
    assert not report.valid
    assert len(_agents(device.root)) == 0


def test_measure_ends_at_its_time_limit(device: Device, bundle: Make) -> None:
    report = device.measure(_job(device, bundle(), blocks=100, block_seconds=1.0, samples=1, time_limit_s=4.0))
    assert "time limit" in report.results[0]["error"]


def test_measure_names_a_worker_that_crashes(device: Device, bundle: Make) -> None:
    def crash(event: dict[str, Any]) -> None:
        if event["kind"] == "loaded" and event["process"] == 0:
            held_by = json.loads(Path(device.root, "lock").read_text())
            os.kill(_worker_of(held_by["pid"]), signal.SIGSEGV)

    report = device.measure(_job(device, bundle()), crash)
    assert "SIGSEGV" in report.results[0]["error"]


def test_measure_on_a_busy_device_names_the_holder(
    device: Device, entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path
) -> None:
    job = _job(device, bundle(), blocks=50, block_seconds=0.2)
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
            assert other.measure(_job(other, bundle())).results[0]["error"] is None
    finally:
        holding.join(60)


def test_measure_waits_for_the_lock_when_asked_to(
    device: Device, entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path
) -> None:
    job = _job(device, bundle())
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
        device.measure(_job(device, bundle(), blocks=50, block_seconds=0.2), kill)
    _wait_until(lambda: not _agents(device.root), "the workers die with their agent")
    assert device.holder() is None
    assert device.measure(_job(device, bundle())).results[0]["error"] is None


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
    job = _job(device, bundle(), blocks=200, block_seconds=0.2)
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
    _wait_until(lambda: not _agents(device.root), "the agent and its workers end")
    assert device.holder() is None
    assert device.measure(_job(device, bundle())).results[0]["error"] is None


def test_garbage_on_the_agents_stdout_is_left_out_and_told(
    entry: DeviceEntry, bundle: Make, cache: Path, tmp_path: Path
) -> None:
    chatty = tmp_path / "chatty python"
    from device_agents.connect.local import base_python

    chatty.write_text(f'#!/bin/sh\nprintf "welcome\\n\\377\\376{{\\n[1, 2]\\n"\nexec "{base_python()}" "$@"\n')
    chatty.chmod(0o755)
    noisy = entry.model_copy(update={"root": str(tmp_path / "root"), "python": str(chatty)})
    with open_device(noisy, state=tmp_path / "state", cache=cache) as device:
        report = device.measure(_job(device, bundle()))
    assert report.results[0]["error"] is None
    assert any("not its own" in warning for warning in report.warnings)


def test_agents_folder_that_cannot_be_made_is_told(entry: DeviceEntry, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = entry.model_copy(update={"root": str(tmp_path / "file" / "root")})
    with pytest.raises(DeviceFolderError) as caught:
        open_device(blocked, state=tmp_path / "state", cache=cache)
    assert "root =" in caught.value.remedy
