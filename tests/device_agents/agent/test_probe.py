"""Facts and state of recorded boards, of a device that says nothing, and of sensors that give garbage."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from device_agents.agent import cpus, probe
from device_agents.agent.power import Sampler
from device_agents.agent.probes import linux, source
from device_agents.pack import agent
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.agent.trees import RECORDED, program, recorded, write
from tests.prerequisites import require

KNOWN_HERE = {"machine", "bits", "kernel", "python", "libc", "pinning"}
"""Facts that are told by the Python that runs, not by the tree."""
EMPTY: dict[str, list[str]] = {"throttling": [], "temperature": [], "power": [], "power_mode": []}


def _facts(board: str) -> dict[str, Any]:
    return {key: value for key, value in probe.facts(recorded(board)).items() if key not in KNOWN_HERE}


def _state(board: str) -> dict[str, Any]:
    found = probe.state(recorded(board))
    return {key: value for key, value in found.items() if value is not None and key != "disk_free_bytes"}


def test_facts_of_a_raspberry_pi() -> None:
    assert _facts("pi4") == {
        "cpu_model": "ARM 0x41 0xd08",
        "cores": 4,
        "cpu_max_khz": 1800000,
        "memory_bytes": 3884196 * 1024,
        "os": "Debian GNU/Linux 12 (bookworm)",
        "board": "Raspberry Pi 4 Model B Rev 1.4",
        "boot_id": "1b5f0b2e-0000-4000-8000-000000000004",
        "identity": "a438f8ac132a3df9",
        "l4t": None,
        "power_modes": None,
        "android": None,
    }


def test_identity_is_a_digest_of_the_serial_number_and_another_board_has_another(tmp_path: Path) -> None:
    def identity(serial: str) -> str | None:
        found = tmp_path / "proc" / "device-tree"
        found.mkdir(parents=True, exist_ok=True)
        (found / "serial-number").write_text(serial)
        return linux.identity(str(tmp_path))

    one = identity("10000000a1b2c3d4\0")
    assert one is not None and "a1b2c3d4" not in one
    assert identity("10000000a1b2c3d4\0") == one != identity("10000000a1b2c3d5\0")
    assert linux.identity(str(tmp_path / "nothing")) is None
    assert linux.identity(str(tmp_path / "nothing"), "serial") is not None


def test_facts_of_a_jetson_tell_release_and_modes() -> None:
    found = _facts("orin-nano")
    assert found["l4t"] == "36.4.3"
    assert found["power_modes"] == {"15W": 0, "25W": 1, "MAXN_SUPER": 2}
    assert found["cpu_max_khz"] == 1728000


def test_facts_of_a_phone_tell_its_android() -> None:
    assert _facts("pixel")["android"] == {"model": "Pixel 6", "release": "13", "sdk": 33, "abi": "arm64-v8a"}


def test_state_of_a_raspberry_pi_4() -> None:
    assert _state("pi4") == {
        "governor": "ondemand",
        "freq_khz": 1800000,
        "min_freq_khz": 600000,
        "max_freq_khz": 1800000,
        "measured_khz": 1800457,
        "core_volts": 0.86,
        "throttled": 0x50005,
        "load1": 0.42,
        "psi_cpu_avg10": 0.52,
        "psi_memory_avg10": 0.0,
        "memory_available_bytes": 3341260 * 1024,
        "swap_used_bytes": 20480 * 1024,
        "uptime_s": 5123.45,
        "boot_id": "1b5f0b2e-0000-4000-8000-000000000004",
        "temperature_c": 41.868,
        "temperatures": {"cpu-thermal": 41.868, "soc": 39.5},
        "sources": EMPTY | {"throttling": ["vcgencmd"], "temperature": ["thermal-zone", "vcgencmd"]},
        "garbled": [],
    }


def test_state_of_a_raspberry_pi_5_tells_its_power() -> None:
    found = _state("pi5")
    assert found["throttled"] == 0
    assert len(found["rails_mw"]) == 12
    assert found["rails_mw"]["VDD_CORE"] == pytest.approx(0.75012 * 0.8974594 * 1000, abs=0.1)
    assert found["power_mw"] == pytest.approx(1.1451 * sum(found["rails_mw"].values()) + 587.9, abs=1)
    assert found["sources"]["power"] == ["pmic"]


def test_state_of_a_jetson_orin_nano() -> None:
    found = _state("orin-nano")
    assert (found["power_mode"], found["power_mode_id"], found["clocks_locked"]) == ("25W", 1, False)
    assert found["power_mw"] == pytest.approx(5.008 * 1048, abs=0.1)
    assert set(found["rails_mw"]) == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    # cv0 is absent (-256 C), gpu-thermal is switched off and can't be read.
    assert found["temperatures"] == {"cpu-thermal": 48.562, "soc2-thermal": 46.593, "tj-thermal": 49.312}
    assert found["temperature_c"] == 49.312
    assert found["gpu_percent"] == 0
    assert found["swap_used_bytes"] == 165 << 20
    assert found["sources"] == {
        "throttling": [],
        "temperature": ["tegrastats", "thermal-zone"],
        "power": ["ina3221", "tegrastats"],
        "power_mode": ["nvpmodel"],
    }
    assert found["garbled"] == []


def test_state_of_an_agx_names_its_rails_and_guesses_no_total() -> None:
    found = _state("agx-orin")
    assert set(found["rails_mw"]) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    assert "power_mw" not in found
    assert found["sources"]["power"] == []
    assert (found["power_mode"], found["clocks_locked"]) == ("MAXN", True)


def test_state_of_a_xavier_leaves_the_power_chips_fixed_temperature_out() -> None:
    found = _state("xavier-nx")
    assert found["temperatures"]["PMIC-Die"] == 50.0
    assert found["temperature_c"] == 40.5
    assert (found["power_mode"], found["power_mode_id"]) == ("MODE_15W_4CORE", 1)
    assert "clocks_locked" not in found


def test_state_of_a_phone_is_told_by_its_own_service() -> None:
    found = _state("pixel")
    assert found["thermal_status"] == 0
    assert found["temperatures"] == {"AP": 25.6, "GPU": 24.9, "battery": 24.0, "skin": 26.1}
    assert found["temperature_c"] == 26.1
    assert found["sources"] == EMPTY | {"throttling": ["thermalservice"], "temperature": ["thermalservice"]}
    assert "governor" not in found


def test_tegrastats_alone_tells_temperature_and_power(tmp_path: Path) -> None:
    program(tmp_path, "tegrastats", Path(recorded("xavier-nx"), "usr/bin/tegrastats").read_text().partition("\n")[2])
    found = probe.state(str(tmp_path))
    assert found["power_mw"] == 5079.0
    assert found["temperature_c"] == 40.5
    assert found["sources"] == EMPTY | {"temperature": ["tegrastats"], "power": ["tegrastats"]}


def test_state_of_this_machine_is_json_and_knows_its_clock() -> None:
    found = probe.state("/", "/")
    assert json.loads(json.dumps(found)) == found
    assert found["clock_set"] is True
    assert found["disk_free_bytes"] > 0


def test_device_that_says_nothing_is_none_never_zero(tmp_path: Path) -> None:
    found = probe.state(str(tmp_path), str(tmp_path / "missing"))
    assert (found.pop("sources"), found.pop("garbled")) == (EMPTY, [])
    assert set(found.values()) == {None}
    facts = probe.facts(str(tmp_path))
    assert {value for key, value in facts.items() if key not in KNOWN_HERE} == {None}


@pytest.mark.parametrize("text", ["", "garbage", "throttled=", "throttled=0xZZ", "error=1"])
def test_throttled_that_is_no_number_is_none_and_named(tmp_path: Path, text: str) -> None:
    program(tmp_path, "vcgencmd", f"echo '{text}'")
    found = probe.state(str(tmp_path))
    assert found["throttled"] is None
    assert "vcgencmd get_throttled" in found["garbled"]
    assert found["sources"]["throttling"] == []


def test_files_that_hold_garbage_are_none_and_named(tmp_path: Path) -> None:
    rail = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    root = write(
        tmp_path,
        {
            "proc/meminfo": "\x00\x01 nothing",
            "proc/loadavg": "what",
            "proc/pressure/cpu": "some avg10=",
            "proc/uptime": "nan nan",
            "sys/class/thermal/thermal_zone0/temp": "hot\n",
            "sys/class/thermal/thermal_zone1/temp": "9999999\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "<unknown>\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "\x01\x02\n",
            f"{rail}/in1_label": "VDD_IN",
            f"{rail}/in1_input": "5000",
            f"{rail}/curr1_input": "much",
        },
    )
    for name in ("nvpmodel", "tegrastats", "dumpsys"):
        program(tmp_path, name, "echo oops")
    found = probe.state(root, str(tmp_path / "missing"))
    assert found.pop("garbled") == [
        "dumpsys thermalservice",
        "ina3221 VDD_IN",
        "loadavg",
        "meminfo",
        "nvpmodel -q",
        "pressure/cpu",
        "scaling_cur_freq",
        "scaling_governor",
        "tegrastats",
        "thermal_zone0",
        "thermal_zone1",
        "uptime",
    ]
    assert found.pop("sources") == EMPTY
    assert set(found.values()) == {None}


def test_program_that_fails_is_garbled_and_other_sensors_are_read(tmp_path: Path) -> None:
    # As vcgencmd does for a user who isn't in the group "video".
    program(tmp_path, "vcgencmd", 'echo "Can\'t open device file: /dev/vcio" >&2; exit 255')
    write(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "41000"})
    found = probe.state(str(tmp_path))
    assert found["temperature_c"] == 41.0
    assert "vcgencmd get_throttled" in found["garbled"]


def test_program_that_hangs_is_ended_and_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_SECONDS", 0.5)
    program(tmp_path, "vcgencmd", "echo >> $(dirname $0)/runs; exec sleep 60")
    began = time.monotonic()
    found = probe.state(str(tmp_path))
    assert time.monotonic() - began < 20
    assert found["throttled"] is None
    assert {"vcgencmd get_throttled", "vcgencmd measure_temp"} <= set(found["garbled"])
    assert (tmp_path / "usr/bin/runs").read_text() == "\n"


@pytest.mark.parametrize("minor", [8, 9, 13])
@pytest.mark.parametrize("board", RECORDED)
def test_packed_agent_probes_every_tree_under_old_and_new_pythons(tmp_path: Path, minor: int, board: str) -> None:
    interpreter = python(minor)
    require(interpreter, HOW.format(minor))
    packed = tmp_path / "agent.pyz"
    packed.write_bytes(agent().data)
    done = subprocess.run(
        [str(interpreter), "-I", str(packed), "probe", "--sysroot", recorded(board)], capture_output=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[0])
    here = probe.state(recorded(board))
    assert {**said["state"], "disk_free_bytes": 0} == {**here, "disk_free_bytes": 0}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("board", RECORDED)
def test_tree_of_noise_gives_no_reading_and_no_error(tmp_path: Path, board: str, seed: int) -> None:
    """Every file and every program's output of a board is replaced by random bytes."""
    random = Random(f"{board} {seed}")
    for path in Path(recorded(board)).rglob("*"):
        if not path.is_file():
            continue
        noise, copy = random.randbytes(random.randrange(200)), tmp_path / path.relative_to(recorded(board))
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_mode & 0o100:
            copy.with_suffix(".noise").write_bytes(noise)
            copy.write_text('#!/bin/sh\nexec cat "$0.noise"\n')
            copy.chmod(0o755)
        else:
            copy.write_bytes(noise)
    found = probe.state(str(tmp_path), str(tmp_path / "missing"))
    probe.facts(str(tmp_path))
    assert "meminfo" in found["garbled"]
    told = {key for key, value in found.items() if value is not None}
    assert told <= {"boot_id", "sources", "garbled"}
    assert found["sources"] == EMPTY
    assert not Sampler(str(tmp_path)).available


def _stat(busy: list[int]) -> str:
    return "cpu  1 2 3 4\n" + "".join(f"cpu{core} {ticks} 0 0 1000 50 0 0 7 0 0\n" for core, ticks in enumerate(busy))


def test_busy_ticks_count_stolen_time_and_not_waiting(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/stat": _stat([100, 200])})
    assert cpus.busy_ticks(root) == {0: (107, 1157), 1: (207, 1257)}


def test_used_ns_of_a_core_that_is_not_listed_is_none(tmp_path: Path) -> None:
    before = cpus.busy_ticks(write(tmp_path, {"proc/stat": _stat([100, 200])}))
    after = cpus.busy_ticks(write(tmp_path, {"proc/stat": _stat([110, 250])}))
    assert cpus.used_ns(before, after, [0, 1]) == 600_000_000
    assert cpus.used_ns(before, after, [5]) is None
    assert cpus.used_ns({}, {}, [0]) is None


def test_choose_takes_the_fast_kind_of_core(tmp_path: Path) -> None:
    files = {"proc/stat": _stat([0] * 64)}
    allowed = cpus.allowed()
    for core in allowed:
        name = f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq"
        files[name] = "2400000" if core == allowed[0] else "1800000"
    assert cpus.choose(1, write(tmp_path, files), watch_s=0) == [allowed[0]]
