"""The canary model: never another one, in every timed job, and no trouble of it is the job's."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from device_agents.bundle import Bundle, read_bundle
from device_agents.farm.canary_model import with_canary
from device_agents.farm.device import Device
from device_agents.farm.job import CANARY, Job, JobVariant, RemoteBundle
from edgewright.files import sha256_bytes
from tests.device_agents.farm.jobs import quick_job

DIGESTS = {
    "canary.onnx": "5103bbc1ed8088a7fe0b0c9592cb9c801e7fd1a4112e176f025e1e43afdbe7ad",
    "canary.tflite": "b229967edba94d33ae0900ea5aa22263d707cb5b85da2de60ef10657974b6bca",
}
"""Another file under these names would shift every series that was ever begun."""


@pytest.mark.parametrize("name", DIGESTS)
def test_files_are_those_of_the_first_day(name: str) -> None:
    assert sha256_bytes((files("device_agents.farm") / "canary" / name).read_bytes()) == DIGESTS[name]


def _job(runtime: str = "onnxruntime", **changes: object) -> Job:
    bundle = RemoteBundle(digest="0" * 64, path="/b")
    return Job(model="m", target="t", variants=[JobVariant(name="v", bundle=bundle, runtime=runtime)], **changes)


@pytest.mark.parametrize(
    ("runtime", "format_"),
    [("onnxruntime", "onnx"), ("litert", "tflite"), ("tflite-runtime", "tflite"), ("benchmark_model", "tflite")],
)
def test_canary_is_what_the_jobs_runtime_loads(runtime: str, format_: str) -> None:
    seen: list[Bundle] = []

    def install(folder: Path) -> RemoteBundle:
        seen.append(read_bundle(folder))
        return RemoteBundle(digest=seen[0].digest, path="/canary")

    canary = with_canary(_job(runtime), install).canary
    assert canary is not None
    assert (canary.name, canary.format, canary.runtime) == (CANARY, format_, runtime)
    assert seen[0].manifest.file == f"canary.{format_}"


def test_job_without_times_or_with_a_runtime_that_has_none_goes_without(tmp_path: Path) -> None:
    def install(folder: Path) -> RemoteBundle:
        raise AssertionError("nothing is to be installed")

    assert with_canary(_job(processes=0), install).canary is None
    assert with_canary(_job("torch"), install).canary is None


def test_canary_races_along_and_is_no_result_of_the_job(device: Device, bundle: Callable[..., Bundle]) -> None:
    job = with_canary(quick_job(device, bundle()), device.install)
    report = device.measure(job)
    assert [result["name"] for result in report.results] == ["tiny"]
    assert report.canary_model is not None
    assert report.canary_model["error"] is None
    rounds = [(block["process"], block["round"]) for block in report.results[0]["blocks"]]
    assert [(block["process"], block["round"]) for block in report.canary_model["blocks"]] == rounds


@pytest.mark.parametrize("name", DIGESTS)
def test_files_tell_nothing_of_the_machine_that_made_them(name: str) -> None:
    data = (files("device_agents.farm") / "canary" / name).read_bytes()
    assert b"/home/" not in data and b".py" not in data and b"site-packages" not in data
