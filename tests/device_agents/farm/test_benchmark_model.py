"""benchmark_model's output in all the forms that it has had, and what is no measurement."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from device_agents.farm.benchmark_model import Failed, Run, arguments, parse

RECORDED = Path(__file__).parent / "recorded" / "benchmark_model"


def _text(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("new-xnnpack", Run(74, 13_520_200, 12_750_000, 14_744_000, round(18.7227 * MIB), "XNNPACK")),
        ("plain-cpu", Run(74, 13_520_200, 12_750_000, 14_744_000, round(2.83203 * MIB), "CPU")),
        ("old-average", Run(50, 82_898_600, 3_134_000, None, None, "CPU")),
        ("all-the-same", Run(20, 2000, 210_000, 3000, None, "CPU")),
        ("slow-exponent", Run(4, 2_110_500_000, 904_211_000, 2_134_567_000, round(96.5 * MIB), "CPU")),
        ("percentiles", Run(240, 4_101_700, 8_123_000, 4_210_000, None, "XNNPACK")),
    ],
)
def test_recorded_output_gives_its_figures(name: str, run: Run) -> None:
    found = parse(_text(name), 0)
    assert math.isclose(found.mean_ns, run.mean_ns, rel_tol=1e-9)
    assert found == Run(run.count, found.mean_ns, run.init_ns, run.first_ns, run.peak_bytes, run.delegate)


def test_figures_are_found_whatever_the_line_ends_and_order() -> None:
    text = _text("new-xnnpack")
    assert parse(text.replace("\n", "\r\n"), 0) == parse(text, 0)
    assert parse(text.replace("INFO: ", "INFO: [benchmark_model.cc:42] "), 0) == parse(text, 0)
    notes = [line for line in text.splitlines() if "count=" not in line]
    counts = [line for line in text.splitlines() if "count=" in line]
    assert parse("\n".join(notes + counts), 0) == parse(text, 0)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("missing-graph", 1, ["Could not open", "exit status 1"]),
        ("crash", 139, ["signal 11"]),
        ("wrong-processor", 126, ["not executable", "processor"]),
        ("cut-short", 0, ["no figures"]),
        ("cut-short", 124, ["longer than it may"]),
        ("new-xnnpack", 137, ["signal 9"]),
    ],
)
def test_run_that_failed_says_why(name: str, status: int, words: list[str]) -> None:
    with pytest.raises(Failed) as caught:
        parse(_text(name), status)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0\xff garbage",
        "count=\ncount=\n",
        "count=3 avg=1\n",
        "count=0 avg=5\ncount=0 avg=5\n",
        "count=5 avg=nan\ncount=5 avg=nan\n",
        "count=5 avg=-3\ncount=5 avg=-3\n",
        "count=5 avg=1e999\ncount=5 avg=1e999\n",
        "count=5 avg=1.2.3\ncount=5 avg=1.2.3\n",
        "Inference timings in us: Init: x, First inference: y\n",
    ],
)
def test_garbage_is_no_measurement(text: str) -> None:
    with pytest.raises(Failed):
        parse(text, 0)


def test_arguments_always_warm_up() -> None:
    made = arguments(
        "/a b/m.tflite", threads=2, warmup_runs=0, warmup_seconds=0, runs=20, seconds=0.15, most_seconds=10
    )
    assert "--graph=/a b/m.tflite" in made
    assert {"--warmup_runs=1", "--num_runs=20", "--min_secs=0.15", "--max_secs=10", "--num_threads=2"} <= set(made)
