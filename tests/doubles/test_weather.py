"""Board doubles: their times are those of their weather, and what they tell of themselves is what they were told."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import asdict
from pathlib import Path
from statistics import median, stdev
from typing import Any

import pytest

from device_agents.agent.runtimes.ort import SMALLEST
from device_agents.farm.device import open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.pack import agent
from tests.device_agents.farm.jobs import quick_job
from tests.device_agents.tiny import tiny_bundle
from tests.doubles.weather import Board, Weather
from tests.doubles.weather_runtime import PROVIDER, Pace

CALM = Weather(floor_ms=4, ms_per_mb=40, load_ms=40, load_ms_per_mb=100, noise=0, jitter=0)


def _pace(folder: Path, weather: Weather, size: int = 100_000, seed: int = 0) -> Pace:
    file = folder / "weather.json"
    file.write_text(json.dumps(asdict(weather)))
    return Pace(file, size, random.Random(seed))


def test_calm_weather_gives_the_time_of_the_models_size(tmp_path: Path) -> None:
    pace = _pace(tmp_path, CALM)
    assert pace.call_s() == pytest.approx(0.008)
    assert pace.load_s() == pytest.approx(0.050)
    assert _pace(tmp_path, CALM, size=200_000).call_s() == pytest.approx(0.012)


def test_slow_board_is_slow_at_everything(tmp_path: Path) -> None:
    pace = _pace(tmp_path, Weather(**asdict(CALM) | {"slow": 1.5}))
    assert [pace.call_s(), pace.load_s()] == pytest.approx([0.012, 0.075])


def test_noise_is_drawn_once_a_process_and_jitter_every_call(tmp_path: Path) -> None:
    noisy = Weather(**asdict(CALM) | {"noise": 0.1})
    paces = [_pace(tmp_path, noisy, seed=seed) for seed in range(300)]
    assert all(pace.call_s() == pace.call_s() for pace in paces[:5])
    assert stdev(pace.call_s() / 0.008 for pace in paces) == pytest.approx(0.1, rel=0.2)
    jittery = _pace(tmp_path, Weather(**asdict(CALM) | {"jitter": 0.1}))
    calls = [jittery.call_s() for _ in range(300)]
    assert stdev(call / 0.008 for call in calls) == pytest.approx(0.1, rel=0.2)
    assert median(calls) == pytest.approx(0.008, rel=0.03)


def test_drift_grows_with_the_hours(tmp_path: Path) -> None:
    drifting = Weather(**asdict(CALM) | {"drift_per_hour": 0.1, "began": Weather().began - 7200})
    assert _pace(tmp_path, drifting).call_s() == pytest.approx(0.008 * 1.2214, rel=1e-3)


def test_throttling_sets_in_after_its_time_of_work(tmp_path: Path) -> None:
    pace = _pace(tmp_path, Weather(**asdict(CALM) | {"throttle": 2.0, "throttle_after_s": 0.0399}))
    assert [round(pace.call_s(), 4) for _ in range(7)] == [0.008] * 5 + [0.016] * 2


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "it's a $(board)", CALM)


_PROGRAM = """
import sys, time
import onnxruntime
session = onnxruntime.InferenceSession(bytes.fromhex(sys.argv[1]))
import numpy
took, given = [], {"x": numpy.float32([7])}
for line in sys.stdin:
    began = time.perf_counter()
    (answer,) = session.run(None, given)
    print(time.perf_counter() - began, answer[0], *session.get_providers(), flush=True)
"""


def test_boards_runtime_gives_right_answers_in_the_boards_time(board: Board) -> None:
    running = subprocess.Popen(
        [board.python, "-I", "-c", _PROGRAM, SMALLEST.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdin and running.stdout

    def call() -> tuple[float, float, str]:
        assert running.stdin and running.stdout
        running.stdin.write("again\n")
        running.stdin.flush()
        took, answer, provider = running.stdout.readline().split()
        return float(took), float(answer), provider

    took, answer, provider = call()
    assert (answer, provider) == (7.0, PROVIDER)
    assert took >= 0.004
    board.change(floor_ms=100.0)  # from the next call on
    assert call()[0] >= 0.1
    running.communicate()
    assert running.returncode == 0


def _probe(board: Board, folder: Path) -> dict[str, Any]:
    program = folder / "agent.pyz"
    program.write_bytes(agent().data)
    done = subprocess.run([board.python, "-I", program, "probe"], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def test_agent_sees_the_boards_own_state(board: Board, tmp_path: Path) -> None:
    board.tell(throttled=0x50005, temperature_c=82.5, governor="powersave")
    found = _probe(board, tmp_path)
    assert found["facts"]["board"] == "Edgewright board double"
    state = found["state"]
    assert (state["throttled"], state["temperature_c"], state["governor"]) == (0x50005, 82.5, "powersave")


def test_restarted_board_has_another_boot_and_a_replaced_one_another_identity(board: Board, tmp_path: Path) -> None:
    first = _probe(board, tmp_path)["facts"]
    board.restarted()
    again = _probe(board, tmp_path)["facts"]
    assert (again["identity"] == first["identity"], again["boot_id"] == first["boot_id"]) == (True, False)
    board.replaced()
    other = _probe(board, tmp_path)["facts"]
    assert other["identity"] not in (None, first["identity"])


@pytest.mark.slow
def test_job_on_a_board_measures_its_weather(board: Board, tmp_path: Path) -> None:
    entry = DeviceEntry(
        name="board-1", target="board", kind="local", python=str(board.python), root=str(tmp_path / "root")
    )
    with open_device(entry, state=tmp_path / "state", cache=tmp_path / "cache") as device:
        device.prepare("onnxruntime", "device")
        report = device.measure(quick_job(device, tiny_bundle(tmp_path / "tiny", "tiny")))
    (result,) = report.results
    assert result["error"] is None
    assert result["providers"] == [PROVIDER]
    samples = [sample for block in result["blocks"] for sample in block["samples_ns"]]
    assert min(samples) >= 4_000_000
    # Who waits for an accelerator is not held back, and what this machine is at is no state of the board's.
    assert not any("held back" in problem or "others took" in problem for problem in report.problems)
