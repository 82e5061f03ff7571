"""The main job on what stands for other devices: an emulated board, a phone by adb, two runtimes on this machine."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cli import FINISHED, ROOT, SHORT, run
from tests.doubles import arm, arm_root, loopback, phone
from tests.prerequisites import require

pytestmark = pytest.mark.slow

RECIPE = """\
factory = "models.architectures.resnet:resnet8"
arguments = { widths = [16, 16, 32], stem_stride = 2 }
data = "digits"
[metric]
floor = 0.5
[train]
epochs = 4
batch = 64
threads = 1
[[shrink]]
name = "narrow"
filters = 0.5
epochs = 2
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state for all: what one target has built the next one finds."""
    return tmp_path_factory.mktemp("devices") / "state"


def _project(tmp_path: Path) -> tuple[Path, Path]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "small.toml").write_text(RECIPE)
    return root, root / "small.toml"


def _deploy(state: Path, root: Path, recipe: Path, target: str) -> tuple[int, str, dict[str, Any]]:
    ended = run(
        state, "deploy", "--model", str(recipe), "--target", target, "--json", str(root / "o.json"),
        program=SHORT, EDGEWRIGHT_ROOT=str(root),
    )  # fmt: skip
    assert (root / "o.json").is_file(), ended.text
    return ended.status, ended.text, json.loads((root / "o.json").read_text())


def test_deploy_to_the_host_lets_two_runtimes_compete(state: Path, tmp_path: Path) -> None:
    status, text, outcome = _deploy(state, *_project(tmp_path), "host")
    assert status in FINISHED, text
    found = {variant["name"]: (variant["runtime"], variant["format"]) for variant in outcome["variants"]}
    assert found == {
        "trained": ("litert", "tflite"), "int8": ("litert", "tflite"),
        "trained@onnxruntime": ("onnxruntime", "onnx"), "int8@onnxruntime": ("onnxruntime", "onnx"),
        "narrow": ("litert", "tflite"), "narrow+int8": ("litert", "tflite"),
        "narrow@onnxruntime": ("onnxruntime", "onnx"), "narrow+int8@onnxruntime": ("onnxruntime", "onnx"),
    }  # fmt: skip
    for variant in outcome["variants"]:
        assert variant["latency_ms"] and variant["parity"]["same"], variant
        assert variant["providers"][0] == ("XNNPACK" if variant["runtime"] == "litert" else "CPUExecutionProvider")
        assert variant["metric"]["on_device"]
    assert all(variant["speedup"] for variant in outcome["variants"][1:])


@pytest.mark.device
@pytest.mark.parametrize(
    ("target", "variants"),
    [
        ("raspberry-pi", 8),
        ("raspberry-pi-32", 4),
        ("jetson", 6),
    ],
)
def test_deploy_to_an_emulated_board_proves_its_answers(
    state: Path, tmp_path: Path, target: str, variants: int
) -> None:
    require(arm_root.missing() is None, str(arm_root.missing()))
    root, recipe = _project(tmp_path)
    with arm.ArmDouble(tmp_path / "board", like=target) as double:
        arm.declare(double, root / "farm.toml", target, "board")
        status, text, outcome = _deploy(state, root, recipe, target)
    assert outcome["emulated"] and outcome["valid"], text
    assert len(outcome["variants"]) == variants
    assert all(variant["parity"]["same"] for variant in outcome["variants"]), text
    assert all(variant["latency_ms"] is None and variant["speedup"] is None for variant in outcome["variants"])
    assert outcome["shipped"] is None and "emulated" in text
    assert f"{variants} of {variants} variants give the answers there that they give here" in " ".join(text.split())
    if target == "jetson":
        assert status == 3
        assert all("the GPU is absent" in variant["reason"] for variant in outcome["variants"])
        assert "fell back to CPUExecutionProvider" in text
    else:
        assert status == 0, text
        assert {variant["verdict"] for variant in outcome["variants"]} == {"same answers"}


@pytest.mark.device
def test_deploy_to_a_phone_by_adb_takes_times_there_and_accuracy_here(state: Path, tmp_path: Path) -> None:
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    root, recipe = _project(tmp_path)
    with phone.PhoneDouble(tmp_path / "phone") as double:
        phone.declare(double, root / "farm.toml", "pixel")
        status, text, outcome = _deploy(state, root, recipe, "android")
    assert status in FINISHED, text
    assert {variant["runtime"] for variant in outcome["variants"]} == {"benchmark_model"}
    assert "onnxruntime: left out" in text and "Termux" in text
    for variant in outcome["variants"]:
        assert variant["latency_ms"]["p50"] > 0, text
        assert variant["metric"]["on_device"] is False
    assert "taken on the host, not on the device" in text
    assert any("benchmark_model returns no outputs" in warning for warning in outcome["warnings"])


@pytest.mark.device
def test_deploy_to_termux_by_ssh_takes_the_phones_own_runtime(state: Path, tmp_path: Path) -> None:
    """Termux is an SSH server whose Python has onnxruntime of its own: as this one has."""
    root, recipe = _project(tmp_path)
    with loopback.Loopback(tmp_path / "termux") as double:
        loopback.declare(double, root / "farm.toml", "android", "pixel")
        lines = (root / "farm.toml").read_text().splitlines()
        lines = [f'python = "{sys.executable}"' if line.startswith("python") else line for line in lines]
        (root / "farm.toml").write_text("\n".join(lines) + "\n")
        status, text, outcome = _deploy(state, root, recipe, "android")
    assert status in FINISHED, text
    assert {variant["runtime"] for variant in outcome["variants"]} == {"onnxruntime"}
    assert "benchmark_model: left out" in text
    report = json.loads(Path(outcome["report"]).read_text())
    assert [one["source"] for one in report["runtimes"]] == ["device"]  # also where it was measured
    assert all(variant["parity"]["same"] and variant["metric"]["on_device"] for variant in outcome["variants"])


@pytest.mark.device
def test_32_bit_device_given_onnx_is_told_what_it_can_run(tmp_path: Path) -> None:
    require(arm_root.missing() is None, str(arm_root.missing()))
    root, recipe = _project(tmp_path)
    with arm.ArmDouble(tmp_path / "board", like="raspberry-pi-32") as double:
        arm.declare(double, root / "farm.toml", "onnx", "board")
        ended = run(
            tmp_path / "state", "deploy", "--model", str(recipe), "--target", str(ROOT / "tests" / "onnx.toml"),
            EDGEWRIGHT_ROOT=str(root),
        )  # fmt: skip
    ended.assert_plain()
    assert "32-bit" in ended.text
    assert not (tmp_path / "state" / "store" / "artifacts").exists()  # told before anything was built


@pytest.mark.device
def test_target_for_another_processor_is_refused(tmp_path: Path) -> None:
    require(platform.machine() != "aarch64", "this machine is what a raspberry-pi is")
    root, recipe = _project(tmp_path)
    with loopback.Loopback(tmp_path / "pc") as double:
        loopback.declare(double, root / "farm.toml", "raspberry-pi", "pc")
        text = (root / "farm.toml").read_text().replace("stand_in = true\n", "")
        (root / "farm.toml").write_text(text)
        ended = run(
            tmp_path / "state", "deploy", "--model", str(recipe), "--target", "raspberry-pi", EDGEWRIGHT_ROOT=str(root)
        )
    ended.assert_plain()
    assert f"is a {platform.machine()}; a raspberry-pi is aarch64" in ended.text
