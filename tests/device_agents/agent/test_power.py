"""Energy from recorded and moving sensors: known ramps, every source, and devices without one."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_agents.agent import cpus
from device_agents.agent.power import Sampler, energy, meter
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.agent.trees import program, write
from tests.prerequisites import require

RAIL = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
TEGRASTATS = (
    "RAM 1343/7620MB (lfb 157x4MB) SWAP 0/3810MB (cached 0MB) CPU [0%@1497,off] GR3D_FREQ 0%@[305] cpu@48.5C "
    "VDD_IN 5000mW/5000mW VDD_CPU_GPU_CV 512mW/512mW"
)


def _board(root: Path, milliamperes: int = 1000, label: str = "VDD_IN") -> str:
    return write(
        root, {f"{RAIL}/in1_label": label, f"{RAIL}/in1_input": "5000\n", f"{RAIL}/curr1_input": f"{milliamperes}\n"}
    )


@contextmanager
def _ramp(root: Path, first_ma: int, per_second: int) -> Iterator[list[tuple[float, float]]]:
    """Rewrites the sensor every 10 ms; gives (monotonic seconds, mW) of what it wrote."""
    written: list[tuple[float, float]] = []
    over = threading.Event()
    path = root / RAIL / "curr1_input"

    def climb() -> None:
        began = time.monotonic()
        while not over.wait(0.01):
            now = time.monotonic()
            value = first_ma + int(per_second * (now - began))
            fresh = path.with_suffix(".new")
            fresh.write_text(f"{value}\n")
            fresh.replace(path)
            written.append((now, value * 5.0))

    thread = threading.Thread(target=climb)
    thread.start()
    try:
        yield written
    finally:
        over.set()
        thread.join()


def test_energy_of_a_known_ramp_is_within_three_per_cent(tmp_path: Path) -> None:
    sampler = Sampler(_board(tmp_path, 500))
    assert sampler.source == "ina3221"
    with _ramp(tmp_path, 500, 1000) as written:
        while not written:
            time.sleep(0.005)
        sampler.start()
        began = time.monotonic()
        time.sleep(1.0)
        ended = time.monotonic()
        found = sampler.stop()
    assert found is not None
    truth = energy(written, began, ended)
    assert truth is not None
    assert found["mj"] == pytest.approx(truth["mj"], rel=0.03)
    assert found["seconds"] == pytest.approx(ended - began, abs=0.05)
    assert found["samples"] >= 3
    # A flat reading of the first or the last value would be far off.
    assert truth["mj"] > 1.3 * truth["seconds"] * 5.0 * 500


def test_energy_integrates_by_trapezia_and_holds_the_ends() -> None:
    found = energy([(0.5, 10.0), (1.0, 20.0), (1.5, 20.0), (9.0, 99.0)], 0.25, 2.0)
    assert found == {"mj": 0.25 * 10 + 0.5 * 15 + 0.5 * 20 + 0.5 * 20, "seconds": 1.75, "samples": 3}


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [(0.1, 5.0), (0.2, 5.0)],
        [(0.1, 5.0), (0.2, 5.0), (0.3, 5.0)],
        [(0.1, 5.0), (1.2, 5.0), (1.9, 5.0)],
        [(1.5, 5.0), (1.6, 5.0), (1.7, 5.0)],
    ],
)
def test_energy_of_too_little_is_none(samples: list[tuple[float, float]]) -> None:
    assert energy(samples, 0.0, 2.0) is None


def test_idle_is_the_mean_power(tmp_path: Path) -> None:
    assert Sampler(_board(tmp_path)).idle(0.4) == pytest.approx(5000.0)


def test_sampler_can_be_used_again(tmp_path: Path) -> None:
    sampler = Sampler(_board(tmp_path))
    assert sampler.stop() is None
    for _ in range(2):
        sampler.start()
        time.sleep(0.3)
        found = sampler.stop()
        assert found is not None
        assert found["mj"] == pytest.approx(5000 * found["seconds"])


def test_sensor_that_goes_silent_gives_none(tmp_path: Path) -> None:
    sampler = Sampler(_board(tmp_path))
    (tmp_path / RAIL / "curr1_input").write_text("garbage\n")
    assert sampler.available
    assert sampler.idle(0.3) is None


def test_section_of_two_samples_is_none(tmp_path: Path) -> None:
    sampler = Sampler(_board(tmp_path))
    sampler.start()
    assert sampler.stop() is None


@pytest.mark.parametrize("label", ["VIN_SYS_5V0", "VDD_GPU_SOC", "NC"])
def test_board_without_a_total_rail_has_no_meter(tmp_path: Path, label: str) -> None:
    sampler = Sampler(_board(tmp_path, label=label))
    assert (sampler.available, sampler.source, sampler.idle(0.01)) == (False, None, None)
    sampler.start()
    assert sampler.stop() is None


def test_raspberry_pi_5_is_read_by_its_program(tmp_path: Path) -> None:
    program(tmp_path, "vcgencmd", "echo 'VDD_CORE_A current(7)=2.0A'; echo 'VDD_CORE_V volt(15)=1.0V'")
    sampler = Sampler(str(tmp_path))
    assert sampler.source == "pmic"
    assert sampler.idle(0.6) == pytest.approx(1.1451 * 2000 + 587.9)


def test_raspberry_pi_4_has_no_meter(tmp_path: Path) -> None:
    program(tmp_path, "vcgencmd", """echo 'error=1 error_msg="Command not registered"'""")
    assert meter(str(tmp_path)) is None


def test_tegrastats_is_read_line_by_line(tmp_path: Path) -> None:
    program(tmp_path, "tegrastats", f"while :; do echo '{TEGRASTATS}'; sleep 0.09; done")
    sampler = Sampler(str(tmp_path))
    assert sampler.source == "tegrastats"
    assert sampler.idle(0.8) == pytest.approx(5000.0)


def test_tegrastats_that_ends_early_gives_none(tmp_path: Path) -> None:
    program(tmp_path, "tegrastats", f"echo '{TEGRASTATS}'")
    sampler = Sampler(str(tmp_path))
    assert sampler.available
    assert sampler.idle(0.3) is None


@pytest.mark.parametrize(("name", "mw"), [("ina260", 3210.0), ("amdgpu", None)])
def test_hwmon_counts_only_where_it_measures_the_board(tmp_path: Path, name: str, mw: float | None) -> None:
    folder = "sys/class/hwmon/hwmon0"
    found = Sampler(write(tmp_path, {f"{folder}/name": name, f"{folder}/power1_input": "3210000\n"}))
    assert found.idle(0.3) == mw


@pytest.mark.parametrize(("status", "mw"), [("Discharging", 4000.0), ("Charging", None), ("Full", None)])
def test_battery_counts_while_it_is_emptied(tmp_path: Path, status: str, mw: float | None) -> None:
    folder = "sys/class/power_supply/battery"
    files = {"type": "Battery", "status": status, "current_now": "-1000000\n", "voltage_now": "4000000\n"}
    found = Sampler(write(tmp_path, {f"{folder}/{name}": text for name, text in files.items()}))
    assert found.idle(0.3) == mw


def test_sampling_thread_keeps_away_from_the_measured_cores(tmp_path: Path) -> None:
    allowed = cpus.allowed()
    if len(allowed) < 2:
        pytest.skip("one core only: there is no other to keep to")
    script = "grep Cpus_allowed_list /proc/self/status >> $(dirname $0)/seen"
    program(tmp_path, "vcgencmd", f"{script}; echo 'VDD_CORE_A current(7)=2.0A'; echo 'VDD_CORE_V volt(15)=1.0V'")
    sampler = Sampler(str(tmp_path), avoid=allowed[1:])
    seen = tmp_path / "usr/bin/seen"
    seen.unlink()
    assert sampler.idle(0.3) is not None
    assert {line.split()[1] for line in seen.read_text().splitlines()} == {str(allowed[0])}
    assert cpus.allowed() == allowed


def test_sampler_runs_under_the_oldest_python(tmp_path: Path, project_root: Path) -> None:
    interpreter = python(8)
    require(interpreter, HOW.format(8))
    code = "import sys; from device_agents.agent.power import Sampler; print(Sampler(sys.argv[1], [0]).idle(0.4))"
    done = subprocess.run(
        [str(interpreter), "-c", code, _board(tmp_path)], cwd=project_root, capture_output=True, check=True
    )
    assert float(done.stdout) == pytest.approx(5000.0)
