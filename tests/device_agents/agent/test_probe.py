"""Probes against recorded trees of devices that aren't here, and of a device that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.agent import cpus, probe


def _write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.fixture
def raspberry(tmp_path: Path) -> str:
    """A Raspberry Pi 4's files, as documented."""
    files = {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\x00",
        "proc/cpuinfo": "".join(
            f"processor\t: {core}\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
            for core in range(4)
        ),
        "proc/meminfo": "MemTotal:        3884196 kB\nMemFree:  100 kB\nMemAvailable:    3341260 kB\n",
        "proc/loadavg": "0.42 0.20 0.10 1/150 1234\n",
        "proc/pressure/cpu": "some avg10=12.34 avg60=1.00 avg300=0.10 total=5\nfull avg10=0.00 avg60=0.00 total=0\n",
        "proc/sys/kernel/random/boot_id": "1b5f0b2e-0000-4000-8000-000000000000\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
        "sys/class/thermal/thermal_zone0/temp": "39486\n",
        "sys/class/thermal/thermal_zone1/temp": "41000\n",
        "sys/class/thermal/thermal_zone2/temp": "-256000\n",
    }
    for core, clock in enumerate((600000, 1800000, 600000, 600000)):
        files[f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"] = f"{clock}\n"
        files[f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"] = "ondemand\n"
    root = _write(tmp_path, files)
    script = tmp_path / "usr/bin/vcgencmd"
    script.parent.mkdir(parents=True)
    script.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    script.chmod(0o755)
    return root


def test_facts_of_a_raspberry_pi(raspberry: str) -> None:
    found = probe.facts(raspberry)
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu_model"] == "ARM 0x41 0xd08"
    assert found["cores"] == 4
    assert found["memory_bytes"] == 3884196 * 1024
    assert found["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["boot_id"] == "1b5f0b2e-0000-4000-8000-000000000000"


def test_state_of_a_raspberry_pi(raspberry: str) -> None:
    found = probe.state(raspberry)
    assert found["governor"] == "ondemand"
    assert found["freq_khz"] == 1_800_000
    assert found["temperature_c"] == 41.0
    assert found["throttled"] == 0x50005
    assert found["load1"] == 0.42
    assert found["psi_cpu_avg10"] == 12.34
    assert found["memory_available_bytes"] == 3341260 * 1024


def test_state_of_a_device_that_says_nothing_is_none_never_zero(tmp_path: Path) -> None:
    found = probe.state(str(tmp_path), str(tmp_path / "missing"))
    assert set(found.values()) == {None}
    facts = probe.facts(str(tmp_path))
    assert [facts[key] for key in ("cpu_model", "cores", "memory_bytes", "os", "board", "boot_id")] == [None] * 6


@pytest.mark.parametrize("text", ["", "garbage", "throttled=", "throttled=0xZZ", "error=1"])
def test_throttled_that_is_no_number_is_none(tmp_path: Path, text: str) -> None:
    script = tmp_path / "usr/bin/vcgencmd"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/sh\necho '{text}'\n")
    script.chmod(0o755)
    assert probe.throttled(str(tmp_path)) is None


def test_files_that_hold_garbage_are_none(tmp_path: Path) -> None:
    root = _write(
        tmp_path,
        {
            "proc/meminfo": "\x00\x01 nothing",
            "proc/loadavg": "what",
            "proc/pressure/cpu": "some avg10=",
            "sys/class/thermal/thermal_zone0/temp": "hot\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "<unknown>\n",
        },
    )
    found = probe.state(root, str(tmp_path / "missing"))
    assert set(found.values()) == {None}


def _stat(busy: list[int]) -> str:
    return "cpu  1 2 3 4\n" + "".join(f"cpu{core} {ticks} 0 0 1000 50 0 0 7 0 0\n" for core, ticks in enumerate(busy))


def test_busy_ticks_count_stolen_time_and_not_waiting(tmp_path: Path) -> None:
    root = _write(tmp_path, {"proc/stat": _stat([100, 200])})
    assert cpus.busy_ticks(root) == {0: (107, 1157), 1: (207, 1257)}


def test_used_ns_of_a_core_that_is_not_listed_is_none(tmp_path: Path) -> None:
    before = cpus.busy_ticks(_write(tmp_path, {"proc/stat": _stat([100, 200])}))
    after = cpus.busy_ticks(_write(tmp_path, {"proc/stat": _stat([110, 250])}))
    assert cpus.used_ns(before, after, [0, 1]) == 600_000_000
    assert cpus.used_ns(before, after, [5]) is None
    assert cpus.used_ns({}, {}, [0]) is None


def test_choose_takes_the_fast_kind_of_core(tmp_path: Path) -> None:
    files = {"proc/stat": _stat([0] * 64)}
    allowed = cpus.allowed()
    for core in allowed:
        name = f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq"
        files[name] = "2400000" if core == allowed[0] else "1800000"
    assert cpus.choose(1, _write(tmp_path, files), watch_s=0) == [allowed[0]]
