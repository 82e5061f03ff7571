"""The ARM doubles themselves: what the agent sees on each board, a reboot, several at once, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.errors import DeviceError, DeviceUnreachable
from device_agents.farm.device import open_device
from tests.doubles.arm import ArmDouble, declare
from tests.doubles.arm_boards import BOARDS
from tests.doubles.arm_root import RootRecipe, missing

pytestmark = [pytest.mark.slow, pytest.mark.device]

Arm = Callable[[str], ArmDouble]


def _probe(double: ArmDouble, cache: Path, tmp_path: Path) -> dict[str, Any]:
    with open_device(double.entry(), state=tmp_path, cache=cache) as device:
        return device.probe()


@pytest.mark.parametrize(
    ("like", "machine", "python", "libc", "board"),
    [
        ("raspberry-pi", "aarch64", "3.11.", "glibc-2.36", "Raspberry Pi 4 Model B Rev 1.4"),
        ("raspberry-pi-32", "armv7l", "3.11.", "glibc-2.36", "Raspberry Pi 2 Model B Rev 1.1"),
        ("jetson", "aarch64", "3.11.", "glibc-2.36", "NVIDIA Jetson Orin Nano Developer Kit"),
        ("jetson-xavier", "aarch64", "3.9.", "glibc-2.31", "NVIDIA Jetson Xavier NX Developer Kit"),
        ("linux-arm64", "aarch64", "3.13.", "glibc-2.41", None),
    ],
)
def test_agent_sees_the_board(
    arm: Arm, cache: Path, tmp_path: Path, like: str, machine: str, python: str, libc: str, board: str | None
) -> None:
    double = arm(like)
    with open_device(double.entry(), state=tmp_path, cache=cache) as device:
        found = device.probe()
        assert device.system.machine == machine
        assert device.root == double.root
    facts, state = found["facts"], found["state"]
    assert facts["machine"] == machine
    assert facts["python"].startswith(python)
    assert facts["libc"] == libc
    assert facts["board"] == board
    assert facts["cores"] == BOARDS[like].cores
    assert facts["cpu_model"]
    assert facts["boot_id"] != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert state["governor"] == "ondemand"
    assert state["freq_khz"] == BOARDS[like].max_khz
    assert state["throttled"] == (0 if like.startswith("raspberry") else None)


def test_doubles_run_at_once_and_differ(arm: Arm, cache: Path, tmp_path: Path) -> None:
    first, second = arm("raspberry-pi"), arm("raspberry-pi-32")
    with (
        open_device(first.entry(), state=tmp_path, cache=cache) as one,
        open_device(second.entry(), state=tmp_path, cache=cache) as other,
    ):
        assert one.connection.run(["uname", "-n"]).stdout.decode().strip() == "raspberry-pi"
        assert other.connection.run(["uname", "-n"]).stdout.decode().strip() == "raspberry-pi-32"
        assert one.probe()["facts"]["boot_id"] != other.probe()["facts"]["boot_id"]
        one.connection.mkdir("/home/pi/only-here")
        assert one.connection.exists("/home/pi/only-here")
        assert not other.connection.exists("/home/pi/only-here")


def test_throttle_bits_and_temperature_are_what_a_test_sets(arm: Arm, cache: Path, tmp_path: Path) -> None:
    double = arm("raspberry-pi")
    double.write("/run/throttled", "0x50005\n")
    double.write("/sys/class/thermal/thermal_zone0/temp", "81250\n")
    try:
        state = _probe(double, cache, tmp_path)["state"]
        assert (state["throttled"], state["temperature_c"]) == (0x50005, 81.25)
    finally:
        double.write("/run/throttled", "0x0\n")
        double.write("/sys/class/thermal/thermal_zone0/temp", "39500\n")


def test_reboot_cuts_connections_refuses_and_comes_back_with_another_boot_id(
    cache: Path, tmp_path: Path, arm: Arm
) -> None:
    double = arm("raspberry-pi")
    before = _probe(double, cache, tmp_path)["facts"]["boot_id"]
    with open_device(double.entry(), state=tmp_path, cache=cache) as device:
        double.write("/home/pi/kept", "on the disk")
        double.reboot(2.0)
        with pytest.raises(DeviceError):
            device.probe()
    with pytest.raises(DeviceUnreachable):
        open_device(double.entry(), state=tmp_path, cache=cache)
    double.wait()
    with open_device(double.entry(), state=tmp_path, cache=cache) as device:
        assert device.probe()["facts"]["boot_id"] not in (before, None)
        assert device.connection.run(["cat", "/home/pi/kept"]).stdout == b"on the disk"


def test_full_disk_is_small(cache: Path, tmp_path: Path, arm: Arm) -> None:
    arm("raspberry-pi")  # so that the root is there and the prerequisites are
    with ArmDouble(tmp_path / "small", "raspberry-pi", disk_bytes=24 << 20) as double:
        state = _probe(double, cache, tmp_path)["state"]
        assert state["disk_free_bytes"] < 24 << 20


def test_declared_double_is_emulated_in_the_farm_file(arm: Arm, tmp_path: Path) -> None:
    from device_agents.farm.inventory import Inventory

    double = arm("raspberry-pi")
    declare(double, tmp_path / "farm.toml", "raspberry-pi", "pi")
    entry = Inventory.read(tmp_path / "farm.toml").named("pi")
    assert entry.emulated and not entry.stand_in
    assert entry.model_copy(update={"farm_file": None}) == double.entry(name="pi")


_HELD = """
import sys, time
from pathlib import Path
from tests.doubles.arm import ArmDouble
with ArmDouble(Path(sys.argv[1]), "raspberry-pi") as double:
    print(double.port, flush=True)
    time.sleep(600)
"""


def _processes_of(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in line:
                found.append(int(process.name))
    return found


def test_nothing_stays_behind_a_killed_test(arm: Arm, tmp_path: Path, project_root: Path) -> None:
    arm("raspberry-pi")
    folder = tmp_path / "killed"
    mounts = Path("/proc/self/mountinfo").read_text()
    with subprocess.Popen(
        [sys.executable, "-c", _HELD, str(folder)], stdout=subprocess.PIPE, cwd=project_root, text=True
    ) as held:
        assert held.stdout is not None and int(held.stdout.readline())
        assert len(_processes_of(folder)) >= 3  # the holder, the double's first process, its sshd
        os.kill(held.pid, signal.SIGKILL)
        held.wait()
    deadline = time.monotonic() + 20
    while left := _processes_of(folder):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_without_root_the_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "need root" in (missing() or "")


def test_a_change_of_the_recipe_gives_another_folder() -> None:
    folders = {RootRecipe(arch, suite).folder for arch in ("arm64", "armhf") for suite in ("bookworm", "trixie")}
    assert len(folders) == 4
