"""A device from end to end, on this machine and over SSH: runtime, bundle, measurement, report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.report import Report
from tests.device_agents.farm.jobs import Make, quick_job
from tests.device_agents.tiny import evaluation

pytestmark = pytest.mark.slow


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


def test_install_of_what_is_there_sends_nothing(device: Device, bundle: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bundle()
    first = device.install(made.folder)

    def refuse(*given: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(device.connection, "append", refuse)
    assert device.install(made.folder) == first
    assert Path(first.path, "manifest.json").read_bytes() == made.manifest.canonical()


def test_measure_gives_a_whole_report(device: Device, bundle: Make, tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    path, x, y = evaluation(tmp_path / "evaluation.npz")
    small, big = bundle("small"), bundle("big", width=24)
    saved = f"{device.root}/outputs/small.npy"
    job = quick_job(device, small, big, evaluation=device.push_data(path), blocks=3)
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
    report = device.measure(quick_job(device, bundle()))
    assert report.results[0]["accuracy"] is None
    assert report.results[0]["blocks"]


def test_measure_follows_a_models_fixed_batch(device: Device, bundle: Make, tmp_path: Path) -> None:
    path, _, _ = evaluation(tmp_path / "evaluation.npz")
    data = device.push_data(path)
    report = device.measure(
        quick_job(device, bundle("one", batch=1), bundle("four", batch=4), bundle("any"), evaluation=data)
    )
    assert [result["error"] for result in report.results] == [None, None, None]
    found = {(result["accuracy"]["value"], result["accuracy"]["n"]) for result in report.results}
    assert len(found) == 1
