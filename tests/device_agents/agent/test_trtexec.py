"""trtexec's output of three generations, and its being run where it lies on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.agent import trtexec

RECORDED = Path(__file__).parent / "recorded" / "trtexec"


def _read(name: str) -> str:
    return (RECORDED / name).read_text()


def test_latency_is_the_whole_line_and_not_one_of_the_copies() -> None:
    assert trtexec.parse(_read("10.2.txt")) == {
        "tool": "trtexec",
        "p50_ms": 7.16092,
        "p90_ms": 10.2996,
        "p99_ms": 12.9675,
        "gpu_p50_ms": 7.14139,
        "qps": 130.298,
        "passed": False,
    }


def test_older_form_has_only_the_99th_percentile() -> None:
    assert trtexec.parse(_read("8.4-xavier.txt")) == {
        "tool": "trtexec",
        "p50_ms": 0.401947,
        "p90_ms": None,
        "p99_ms": 0.420288,
        "gpu_p50_ms": 0.388443,
        "qps": 41087.7,
        "passed": True,
    }


def test_oldest_form_has_a_line_for_each_figure() -> None:
    found = trtexec.parse(_read("7.txt"))
    assert found is not None
    assert (found["p50_ms"], found["p99_ms"], found["gpu_p50_ms"], found["passed"]) == (1.65601, 1.67065, None, False)


def test_lines_without_a_date_are_read_too() -> None:
    plain = "\n".join(line.partition("] ")[2] for line in _read("8.4-xavier.txt").splitlines()[:-1])
    found = trtexec.parse(plain)
    assert found is not None
    assert found["p50_ms"] == 0.401947


@pytest.mark.parametrize(
    "text", ["", "Segmentation fault", "[I] Latency: min = what ms", "[I] H2D Latency: median = 1 ms"]
)
def test_garbage_gives_none(text: str) -> None:
    assert trtexec.parse(text) is None


def test_precision_is_a_flag() -> None:
    assert "--fp16" in trtexec.arguments("t", "m.onnx", "float16")
    assert "--int8" in trtexec.arguments("t", "m.onnx", "int8")
    assert "--sparsity=enable" in trtexec.arguments("t", "m.onnx", "int8", sparse=True)
    assert trtexec.arguments("t", "m.onnx", "float32")[1:] == [
        "--onnx=m.onnx",
        "--warmUp=500",
        "--duration=3",
        "--useSpinWait",
    ]


def test_program_on_path_is_run_and_its_times_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\ncat "{RECORDED}/8.4-xavier.txt"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    found = trtexec.run("/a model.onnx", "int8", 30.0)
    assert found is not None
    assert found["p50_ms"] == 0.401947
    assert (tmp_path / "asked").read_text().startswith("--onnx=/a model.onnx --int8")


def test_program_that_hangs_or_is_absent_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "trtexec"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert trtexec.run("m.onnx", "float32", 0.2) is None
    assert trtexec.run("m.onnx", "float32", 0.0) is None
