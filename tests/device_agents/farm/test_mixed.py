"""Runtimes against each other in one job: each variant by its own runtime, the same samples, its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.report import Report
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.tiny_tflite import answers, images, tflite_bundle
from tests.prerequisites import require

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Device]:
    """This machine by Python 3.11, the newest that tflite-runtime has wheels for."""
    found = python(11)
    require(found, HOW.format(11))
    folder = tmp_path_factory.mktemp("mixed")
    entry = stand_in("raspberry-pi").model_copy(update={"python": found})
    with open_device(entry, state=folder, cache=cache) as opened:
        yield opened


def _variant(device: Device, made: Bundle, **changes: Any) -> JobVariant:
    manifest = made.manifest
    return JobVariant(
        name=manifest.name,
        bundle=device.install(made.folder),
        format=manifest.format,
        runtime=manifest.runtime,
        precision=manifest.precision,
        save_outputs=f"{device.root}/outputs/{manifest.name}.npy",
        **changes,
    )


def _job(variants: list[JobVariant], **changes: Any) -> Job:
    quick = {"processes": 1, "blocks": 2, "block_seconds": 0.02, "warmup_seconds": 0.02}
    return Job.model_validate({"model": "tiny", "target": "raspberry-pi", "variants": variants, **quick, **changes})


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An evaluation file of 40 images with labels."""
    import numpy as np

    path = tmp_path_factory.mktemp("samples") / "evaluation.npz"
    x = images()
    np.savez(path, x=x, y=answers("float32", x).argmax(-1))
    return path, x


@pytest.fixture(scope="module")
def report(device: Device, samples: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One job: two interpreters, a float and an INT8 file each."""
    folder = tmp_path_factory.mktemp("bundles")
    variants = [
        _variant(device, tflite_bundle(folder / f"{runtime}-{kind}", kind, f"{runtime}-{kind}", runtime))
        for runtime in ("litert", "tflite-runtime")
        for kind in ("float32", "int8")
    ]
    return device.measure(_job(variants, evaluation=device.push_data(samples[0])))


def test_every_variant_runs_in_its_own_runtime(report: Report) -> None:
    assert [result["error"] for result in report.results] == [None] * 4
    found = {result["name"]: result["runtime"] for result in report.results}
    assert {(told["name"], told["version"]) for told in found.values()} == {
        ("litert", "2.3.0"),
        ("tflite-runtime", "2.14.0"),
    }
    assert found["litert-int8"]["numpy"] >= "2"
    assert found["tflite-runtime-int8"]["numpy"] == "1.26.4"
    assert [(told["name"], told["source"]) for told in report.runtimes] == [
        ("litert", "wheel"),
        ("tflite-runtime", "wheel"),
    ]
    assert report.runtime == {name: report.runtimes[0][name] for name in ("name", "version", "numpy", "providers")}
    assert all(result["blocks"][0]["samples_ns"] for result in report.results)


def test_providers_are_what_the_graph_was_given_to(report: Report) -> None:
    found = {result["name"]: result["providers"] for result in report.results}
    assert found["litert-float32"] == found["litert-int8"] == ["XNNPACK"]
    assert found["tflite-runtime-float32"] == ["XNNPACK"]
    # This old build gives XNNPACK no quantised operator unless it is told to.
    assert found["tflite-runtime-int8"] == ["CPU"]


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_answers_are_the_same_in_both_interpreters(
    report: Report, device: Device, samples: tuple[Path, Any], kind: str
) -> None:
    import numpy as np

    expected = answers(kind, samples[1])
    step = float(np.diff(np.unique(expected)).min()) if kind == "int8" else 1e-5
    for runtime in ("litert", "tflite-runtime"):
        found = np.load(f"{device.root}/outputs/{runtime}-{kind}.npy")
        assert found.dtype == np.float32
        if kind == "int8" and runtime == "litert":
            np.testing.assert_array_equal(found, expected)
        else:
            assert np.abs(found - expected).max() <= step * 1.01, "more than one step of INT8, or of float's rounding"
    results = {result["name"]: result["accuracy"] for result in report.results}
    assert results[f"litert-{kind}"]["n"] == 40
    assert results["litert-float32"]["value"] == 1.0


def test_accuracy_takes_as_many_samples_as_asked(
    device: Device, samples: tuple[Path, Any], tmp_path: Path, report: Report
) -> None:
    import numpy as np

    one = _variant(device, tflite_bundle(tmp_path / "b", "float32", "some", "litert"))
    data = device.push_data(samples[0])
    found = device.measure(_job([one], evaluation=data, evaluation_samples=7, saved_samples=3))
    assert found.results[0]["accuracy"]["n"] == 7
    assert np.load(f"{device.root}/outputs/some.npy").shape == (3, 4)


def test_onnx_runs_beside_tflite_and_wished_providers_that_are_absent_show(
    device: Device, bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    tflite = _variant(device, tflite_bundle(tmp_path / "t", "float32", "tflite", "litert"))
    onnx = _variant(
        device,
        bundle("onnx"),
        providers=["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
        options={"CUDAExecutionProvider": {"device_id": 0}},
    )
    report = device.measure(_job([tflite, onnx]))
    assert [result["error"] for result in report.results] == [None, None]
    assert [result["providers"] for result in report.results] == [["XNNPACK"], ["CPUExecutionProvider"]]
    assert report.results[1]["second_opinion"] is None
    assert [told["name"] for told in report.runtimes] == ["litert", "onnxruntime"]


def test_manifest_of_another_file_is_refused(device: Device, tmp_path: Path) -> None:
    """Tensors that the file doesn't have: a wrong answer is worse than none."""
    made = tflite_bundle(tmp_path / "b", "float32", "odd", "litert")
    from device_agents.bundle import write_bundle

    given = made.manifest.inputs[0]
    changed = made.manifest.model_copy(update={"inputs": [given, given.model_copy(update={"name": "mask"})]})
    odd = write_bundle(tmp_path / "odd", made.model_file, changed)
    found = device.measure(_job([_variant(device, odd)]))
    assert "the manifest names the input" in found.results[0]["error"]
