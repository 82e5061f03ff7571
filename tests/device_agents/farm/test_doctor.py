"""The doctor on recorded boards, rule by rule, and on real connections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent import probe
from device_agents.farm.device import Device
from device_agents.farm.doctor import LEVELS, Finding, canary_finding, diagnose, doctor, lines, verdict
from device_agents.farm.doctor_rules import RULES, strongest
from device_agents.farm.inventory import DeviceEntry
from targets.schema import Target, read_target
from tests.device_agents.agent.trees import recorded

HEALTHY_FACTS: dict[str, Any] = {
    "machine": "aarch64",
    "bits": 64,
    "python": "3.11.2",
    "cores": 4,
    "cpu_max_khz": 2400000,
    "pinning": True,
    "android": None,
    "l4t": None,
    "power_modes": None,
}
HEALTHY: dict[str, Any] = {
    "governor": "performance",
    "min_freq_khz": 1500000,
    "max_freq_khz": 2400000,
    "temperature_c": 45.0,
    "throttled": 0,
    "load1": 0.1,
    "psi_cpu_avg10": 0.0,
    "swap_used_bytes": 0,
    "memory_available_bytes": 4 << 30,
    "disk_free_bytes": 20 << 30,
    "clock_set": True,
    "sources": {"throttling": ["vcgencmd"], "temperature": ["thermal-zone"], "power": [], "power_mode": []},
    "garbled": [],
}
JETSON: dict[str, Any] = {"l4t": "36.4.3", "power_modes": {"15W": 0, "25W": 1, "MAXN_SUPER": 2}}


def _entry(**keys: Any) -> DeviceEntry:
    return DeviceEntry(name="dev", target="raspberry-pi", address="dev", **keys)


def _target(name: str) -> Target:
    return read_target(name, Path("/nowhere"))


def _of_tree(board: str, target: str) -> list[Finding]:
    facts = probe.facts(recorded(board)) | {"machine": "aarch64", "bits": 64, "python": "3.11.2", "pinning": True}
    state = probe.state(recorded(board)) | {"disk_free_bytes": 20 << 30}
    return diagnose(facts, state, _entry(), _target(target))


def _keys(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.key) for finding in findings]


@pytest.mark.parametrize(
    ("board", "target", "keys", "said"),
    [
        (
            "pi4",
            "raspberry-pi",
            [("spoils", "throttling"), ("spoils", "governor"), ("note", "swap")],
            "measures, but now: undervoltage, throttling (and 1 more)",
        ),
        ("pi5", "raspberry-pi", [], "fit to measure"),
        (
            "orin-nano",
            "jetson",
            [("spoils", "power_mode"), ("spoils", "clocks"), ("spoils", "swap")],
            "measures, but its power mode is 25W, its strongest is MAXN_SUPER (and 2 more)",
        ),
        ("agx-orin", "jetson", [("note", "sensors")], "fit to measure"),
        (
            "xavier-nx",
            "jetson-xavier",
            [("spoils", "power_mode")],
            "measures, but its power mode is MODE_15W_4CORE, its strongest is MODE_20W_6CORE",
        ),
        ("pixel", "android", [("note", "swap")], "fit to measure"),
    ],
)
def test_recorded_boards(board: str, target: str, keys: list[tuple[str, str]], said: str) -> None:
    findings = _of_tree(board, target)
    assert _keys(findings) == keys
    assert verdict(findings) == said


def test_healthy_device_is_fit() -> None:
    assert diagnose(HEALTHY_FACTS, HEALTHY, _entry(), _target("raspberry-pi")) == []


def test_device_of_which_nothing_is_known_has_only_absent_sensors() -> None:
    findings = diagnose({}, {}, _entry(), _target("raspberry-pi"))
    assert _keys(findings) == [("note", "sensors"), ("note", "sensors")]
    assert diagnose({}, {}, _entry(), None) == []


@pytest.mark.parametrize(
    ("facts", "state", "level", "key", "words", "remedy"),
    [
        ({"machine": "armv7l", "bits": 32}, {}, "blocks", "machine", "32-bit", "raspberry-pi-32"),
        ({"bits": 32}, {}, "blocks", "machine", "it is armv7l", "raspberry-pi-32"),
        ({"machine": "x86_64"}, {}, "blocks", "machine", "it is x86_64", "./inv targets"),
        ({"python": "3.6.9"}, {}, "blocks", "python", "3.6.9", "farm.toml"),
        ({}, {"disk_free_bytes": 100 << 20}, "blocks", "disk", "105 MB", "devices.setup dev --undo"),
        ({}, {"disk_free_bytes": 900 << 20}, "note", "disk", "free", "apt-get clean"),
        ({}, {"memory_available_bytes": 30 << 20}, "blocks", "memory", "31 MB", "ps -eo"),
        ({}, {"memory_available_bytes": 150 << 20}, "spoils", "memory", "157 MB", "ps -eo"),
        ({}, {"throttled": 0x1}, "spoils", "throttling", "now: undervoltage", "5 V"),
        ({}, {"throttled": 0x8}, "spoils", "throttling", "now: soft temperature limit", "fan"),
        ({}, {"throttled": 0x10000}, "spoils", "throttling", "since its start: undervoltage", "5 V"),
        ({}, {"throttled": 0x40000}, "spoils", "throttling", "since its start: throttling", "sudo reboot"),
        ({}, {"thermal_status": 2}, "spoils", "heat", "moderate", "cool"),
        ({}, {"temperature_c": 70.5}, "spoils", "heat", "70", "fan"),
        ({}, {"load1": 2.1}, "spoils", "load", "2.1 on 4 cores", "top -b"),
        ({}, {"psi_cpu_avg10": 11.0}, "spoils", "load", "11 %", "top -b"),
        ({}, {"gpu_percent": 60}, "spoils", "load", "GPU is 60 %", "tegrastats"),
        ({}, {"governor": "ondemand"}, "spoils", "governor", "ondemand", "echo performance | tee"),
        ({"android": {"sdk": 33}}, {"governor": "walt"}, "note", "governor", "walt", "root"),
        (JETSON, {"power_mode": "15W", "power_mode_id": 0}, "spoils", "power_mode", "15W", "sudo nvpmodel -m 2"),
        ({}, {"power_mode": "5W", "power_mode_id": 1}, "spoils", "power_mode", "5W", "sudo nvpmodel -m 0"),
        (JETSON, {"clocks_locked": False}, "spoils", "clocks", "not locked", "sudo jetson_clocks"),
        ({}, {"max_freq_khz": 1500000, "min_freq_khz": 600000}, "spoils", "clocks", "1500 of 2400", "scaling_max_freq"),
        ({}, {"swap_used_bytes": 100 << 20}, "spoils", "swap", "105 MB", "sudo swapoff -a"),
        ({}, {"swap_used_bytes": 1 << 20, "psi_memory_avg10": 1.0}, "spoils", "swap", "1 MB", "sudo swapoff -a"),
        ({}, {"swap_used_bytes": 1 << 20}, "note", "swap", "1 MB", "sudo swapoff -a"),
        ({"pinning": False}, {}, "spoils", "pinning", "pinned", "idle"),
        ({}, {"clock_set": False}, "note", "clock", "never set", "timedatectl"),
        ({}, {"garbled": ["thermal_zone3"]}, "note", "sensors", "thermal_zone3", ""),
    ],
)
def test_each_rule_says_what_and_the_command(
    facts: dict[str, Any], state: dict[str, Any], level: str, key: str, words: str, remedy: str
) -> None:
    findings = diagnose(HEALTHY_FACTS | facts, HEALTHY | state, _entry(), _target("raspberry-pi"))
    assert _keys(findings) == [(level, key)]
    assert words in findings[0].what
    assert remedy in findings[0].remedy


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, {"temperature_c": 70.0}),
        ({}, {"load1": 2.0}),
        ({}, {"thermal_status": 1}),
        ({}, {"governor": "schedutil", "min_freq_khz": 2400000}),
        (JETSON, {"governor": "schedutil", "clocks_locked": True, "power_mode": "MAXN_SUPER"}),
        (JETSON, {"max_freq_khz": 1344000}),
        ({}, {"power_mode": "MAXN", "power_mode_id": 0}),
        ({}, {"power_mode": "15W", "power_mode_id": 0}),
        ({"android": {"sdk": 33}}, {"max_freq_khz": 1000000}),
        ({"python": "3.8.0"}, {}),
    ],
)
def test_what_does_no_harm_is_no_finding(facts: dict[str, Any], state: dict[str, Any]) -> None:
    assert diagnose(HEALTHY_FACTS | facts, HEALTHY | state, _entry(), _target("raspberry-pi")) == []


def test_undervoltage_now_and_since_the_start_is_said_once() -> None:
    findings = diagnose(HEALTHY_FACTS, HEALTHY | {"throttled": 0x50001}, _entry(), None)
    assert [finding.what for finding in findings] == ["now: undervoltage", "since its start: throttling"]


def test_absent_vcgencmd_is_noted_and_a_refused_one_asks_for_its_group() -> None:
    silent = HEALTHY | {"throttled": None, "sources": {"temperature": ["thermal-zone"]}}
    findings = diagnose(HEALTHY_FACTS, silent, _entry(), _target("raspberry-pi"))
    assert [finding.what for finding in findings] == [
        "raspberry-pi should tell its throttling by vcgencmd, this device doesn't"
    ]
    refused = silent | {"garbled": ["vcgencmd get_throttled"]}
    findings = diagnose(HEALTHY_FACTS, refused, _entry(), _target("raspberry-pi"))
    assert len(findings) == 1
    assert findings[0].remedy.startswith("sudo usermod -aG video $USER")


def test_emulated_device_is_not_fit_and_misses_no_sensors() -> None:
    findings = diagnose(HEALTHY_FACTS, {}, _entry(emulated=True), _target("raspberry-pi"))
    assert _keys(findings) == [("blocks", "emulated")]
    assert verdict(findings).startswith("not fit: this device is emulated")


def test_stand_in_is_a_note_whatever_its_machine() -> None:
    findings = diagnose(HEALTHY_FACTS | {"machine": "x86_64"}, {}, _entry(stand_in=True), _target("raspberry-pi"))
    assert _keys(findings) == [("note", "standing_in")]


def test_findings_come_the_worst_first_and_read_as_lines() -> None:
    state = HEALTHY | {"clock_set": False, "governor": "ondemand", "disk_free_bytes": 1, "temperature_c": 90.0}
    findings = diagnose(HEALTHY_FACTS, state, _entry(), None)
    levels = [LEVELS.index(finding.level) for finding in findings]
    assert levels == sorted(levels)
    assert [finding.key for finding in findings] == ["disk", "heat", "governor", "clock"]
    assert verdict(findings) == "not fit: only 0 MB are free on its disk"
    text = lines(findings)
    assert text[0].split() == ["blocks", *findings[0].what.split()]
    assert text[1].strip() == findings[0].remedy
    assert json.loads(json.dumps([finding.to_json() for finding in findings]))[1]["key"] == "heat"


@pytest.mark.parametrize(
    ("modes", "best"),
    [
        ({}, None),
        ({"MAXN": 0, "MODE_15W": 1}, ("MAXN", 0)),
        ({"15W": 0, "25W": 1, "MAXN_SUPER": 2}, ("MAXN_SUPER", 2)),
        ({"15W": 0, "7W": 1}, ("15W", 0)),
        ({"MODE_15W_2CORE": 0, "MODE_15W_6CORE": 2, "MODE_10W_2CORE": 3}, ("MODE_15W_6CORE", 2)),
    ],
)
def test_strongest_mode(modes: dict[str, int], best: tuple[str, int] | None) -> None:
    assert strongest(modes) == best


@pytest.mark.parametrize(
    ("times", "steady"),
    [
        ([5.0] * 20, True),
        ([5.0] * 19 + [9.0], True),
        ([5.0] * 10 + [5.4] * 10, True),
        ([5.0] * 14 + [6.0] * 6, False),
        ([5.0, 9.0] * 10, False),
        ([5.0, 9.0], True),
    ],
)
def test_canary_that_varies_is_found_and_one_interruption_is_not(times: list[float], steady: bool) -> None:
    found = canary_finding([int(time * 1e6) for time in times])
    assert (found is None) is steady
    if found is not None:
        assert found.level == "spoils"
        assert f"{min(times):.2f} to {max(times):.2f} ms in 20 goes" in found.what


def test_doctor_examines_a_connected_device(device: Device) -> None:
    found, said = doctor(device, _target("raspberry-pi"))
    keys = {finding.key for finding in found}
    assert keys <= {rule.__name__ for rule in RULES} | {"canary"}
    assert said == verdict(found)
    # Neither kind of device here is a Raspberry Pi: one stands in, the other is this machine behind SSH.
    assert "standing_in" in keys or ("blocks", "machine") in _keys(found)


def test_emulated_device_is_not_asked_for_its_canary(device: Device) -> None:
    device.entry = device.entry.model_copy(update={"emulated": True})
    found, said = doctor(device)
    assert "canary" not in {finding.key for finding in found}
    assert said.startswith("not fit: this device is emulated")
