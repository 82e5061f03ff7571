"""The files of every shipped recipe give the same answers on arm64 and armhf as on this machine.

Within LiteRT INT8 files agree to the bit. onnxruntime adds quantised tensors in float, where a tie may round the other
way on ARM (one value of 250,000 was seen to in EfficientNet), so files with residual additions may end a few steps
apart. tflite-runtime has other kernels for ARM than for x86, and other ones than LiteRT, which differ by one step a
layer. Beyond these, agreement and the noise are held.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device_agents.errors import RuntimeUnavailable
from device_agents.farm.device import open_device
from pipeline.export.drift import sqnr, worst_difference
from pipeline.parity import compare_outputs
from tests.arm.cells import RUNTIMES, Answers
from tests.arm.conftest import RECIPES
from tests.arm.made import Made
from tests.device_agents.farm.jobs import quick_job
from tests.device_agents.tiny import evaluation, tiny_bundle
from tests.doubles.arm import ArmDouble

pytestmark = [pytest.mark.slow, pytest.mark.device]

FLOAT = 1e-4
"""Share of the outputs' spread."""
EVERYWHERE = [("arm64", "onnxruntime"), ("arm64", "litert"), ("arm64", "tflite-runtime"), ("armhf", "tflite-runtime")]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("machine", "runtime"), EVERYWHERE)
def test_float_answers_are_this_machines(asked: Answers, machine: str, runtime: str, recipe: str) -> None:
    here, there = _outputs(asked, "x86-64", runtime, recipe, "float32"), _outputs(asked, machine, runtime, recipe)
    assert worst_difference(here, there) <= FLOAT


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_float_answers_are_torchs(asked: Answers, mades: dict[str, Made], runtime: str, recipe: str) -> None:
    assert worst_difference(mades[recipe].torch, _outputs(asked, "x86-64", runtime, recipe)) <= FLOAT


@pytest.mark.parametrize("recipe", RECIPES)
def test_int8_of_litert_is_this_machines_to_the_bit(asked: Answers, mades: dict[str, Made], recipe: str) -> None:
    _judge(asked, mades[recipe], "litert", to_the_bit=True)


@pytest.mark.parametrize("recipe", RECIPES)
def test_int8_of_onnxruntime_is_this_machines(asked: Answers, mades: dict[str, Made], recipe: str) -> None:
    # EfficientNet-Lite0's additions: see above.
    _judge(asked, mades[recipe], "onnxruntime", to_the_bit=recipe != "efficientnet-lite0")


# Not MiniLM: its head isn't trained here, and of logits that mean nothing INT8 leaves nothing to agree on.
@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - {"minilm-sentiment"}))
@pytest.mark.parametrize("machine", ["x86-64", "arm64", "armhf"])
def test_int8_of_tflite_runtime_departs_from_litert_no_more_than_int8_does_from_torch(
    asked: Answers, mades: dict[str, Made], machine: str, recipe: str
) -> None:
    here = _outputs(asked, "x86-64", "litert", recipe, "int8")
    there = _outputs(asked, machine, "tflite-runtime", recipe, "int8")
    assert sqnr(here, there) >= min(30.0, sqnr(mades[recipe].torch, here))
    assert (here.argmax(-1) == there.argmax(-1)).all()


def test_litert_runs_on_xnnpack(asked: Answers) -> None:
    for recipe in RECIPES:
        for precision in ("float32", "int8"):
            assert asked.answers["arm64", "litert", recipe, precision].providers == ("XNNPACK",)


def test_32_bit_device_refuses_onnx_with_the_way_out(
    arm: Callable[[str], ArmDouble], cache: Path, tmp_path: Path
) -> None:
    with (
        open_device(arm("raspberry-pi-32").entry(), state=tmp_path, cache=cache) as device,
        pytest.raises(RuntimeUnavailable, match="32-bit"),
    ):
        device.prepare("onnxruntime")


def test_whole_job_runs_and_its_report_says_emulated(
    arm: Callable[[str], ArmDouble], cache: Path, tmp_path: Path
) -> None:
    """The session itself, which the other tests go past: lock, blocks, memory and accuracy."""
    path, x, _ = evaluation(tmp_path / "evaluation.npz", 8)
    with open_device(arm("raspberry-pi").entry(), state=tmp_path, cache=cache) as device:
        quick = {"processes": 1, "blocks": 1, "samples": 1, "block_seconds": 0.0, "warmup_runs": 1}
        job = quick_job(device, tiny_bundle(tmp_path / "tiny"), evaluation=device.push_data(path), **quick)
        report = device.measure(job)
    (result,) = report.results
    assert result["error"] is None
    assert result["accuracy"]["n"] == len(x)
    assert report.device["emulated"] and any("emulated" in warning for warning in report.warnings)
    assert report.facts["machine"] == "aarch64"


def _outputs(asked: Answers, machine: str, runtime: str, recipe: str, precision: str = "float32") -> np.ndarray:
    cell = (machine, runtime, recipe, precision)
    assert cell in asked.answers, asked.refused.get(cell, "never asked")
    answer = asked.answers[cell]
    assert answer.outputs is not None, answer.failed
    return answer.outputs


def _judge(asked: Answers, made: Made, runtime: str, to_the_bit: bool) -> None:
    """INT8 on arm64 against the same runtime here, by the rule that a deploy goes by."""
    cell = (RUNTIMES[runtime], "int8")
    parity = compare_outputs(
        _outputs(asked, "x86-64", runtime, made.name, "int8"),
        _outputs(asked, "arm64", runtime, made.name, "int8"),
        exact=to_the_bit and cell in made.whole,
        scale=made.steps.get(cell),
        same_runtime=True,
        bound=FLOAT,
        quantised=True,
    )
    assert parity.same, parity
