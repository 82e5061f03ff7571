"""What only boards have, on trees and programs that stand for them: a restart, a power sensor, trtexec."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from device_agents.connect.local import base_python
from device_agents.errors import AgentLost, DeviceRestarted
from device_agents.farm.device import open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.report import Collector
from device_agents.pack import agent
from tests.device_agents.farm.jobs import Make, quick_job
from tests.prerequisites import require

pytestmark = pytest.mark.slow
TRTEXEC = Path(__file__).parents[1] / "agent" / "recorded" / "trtexec" / "8.4-xavier.txt"


def test_restart_in_mid_job_is_told_and_the_next_run_goes_on(bundle: Make, cache: Path, tmp_path: Path) -> None:
    """A Python whose boot id is a file of ours (a mount of its own): the agent dies, the boot is another one."""
    wrapped = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"'
    boot = tmp_path / "boot_id"
    boot.write_text("11111111\n")
    probe = ["unshare", "-m", "sh", "-c", wrapped, "sh", str(boot), "true"]
    require(
        subprocess.run(probe, capture_output=True, check=False).returncode == 0, "mounting in a namespace needs root"
    )
    python = tmp_path / "python"
    command = shlex.join([*probe[:-1], base_python()])
    python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    python.chmod(0o755)
    entry = stand_in("raspberry-pi").model_copy(update={"python": str(python), "root": str(tmp_path / "root")})

    def restart(event: dict[str, Any]) -> None:
        if event["kind"] == "block":
            boot.write_text("22222222\n")
            os.kill(json.loads(Path(entry.root, "lock").read_text())["pid"], signal.SIGKILL)

    def die(event: dict[str, Any]) -> None:
        if event["kind"] == "block":
            os.kill(json.loads(Path(entry.root, "lock").read_text())["pid"], signal.SIGKILL)

    with open_device(entry, state=tmp_path / "state", cache=cache) as device:
        assert device.probe()["facts"]["boot_id"] == "11111111"
        long = quick_job(device, bundle(), blocks=50, block_seconds=0.2)
        with pytest.raises(DeviceRestarted, match="restarted in mid-run") as caught:
            device.measure(long, restart)
        assert caught.value.where == "boot 11111111 before, 22222222 now"
        with pytest.raises(AgentLost) as killed:
            device.measure(long, die)
        assert not isinstance(killed.value, DeviceRestarted)
        assert device.measure(quick_job(device, bundle())).results[0]["error"] is None


def test_energy_and_second_opinion_reach_the_report(
    bundle: Make, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorded INA3221 whose rail changes with time, read while a real job runs; trtexec prints what one printed."""
    tree = tmp_path / "tree"
    chip = tree / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    chip.mkdir(parents=True)
    (chip / "in1_label").write_text("VDD_IN\n")
    (chip / "in1_input").write_text("5000\n")
    (chip / "curr1_input").write_text("1000\n")
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec cat "{TRTEXEC}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    entry = stand_in("jetson").model_copy(update={"root": str(tmp_path / "root")})
    with open_device(entry, state=tmp_path / "state", cache=cache) as device:
        job = quick_job(device, bundle(), processes=1)
        wish = job.variants[0].model_copy(update={"providers": ["TensorrtExecutionProvider", "CPUExecutionProvider"]})
        job = job.model_copy(update={"variants": [wish]})
        folder = device.prepare("onnxruntime").folder
        packed = tmp_path / "agent.pyz"
        packed.write_bytes(agent().data)
        command = [base_python(), "-I", str(packed), "run", "--root", device.root, "--sysroot", str(tree)]
        request = json.dumps(job.request({"onnxruntime": folder}, {})).encode() + b"\n"
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(request)
        running.stdin.flush()
        collector = Collector(job)
        for line in running.stdout:
            event = json.loads(line)
            if event["kind"] == "start":  # it works now: one ampere more
                (chip / "curr1_input").write_text("2000\n")
            collector.take(event)
        running.stdin.close()
        assert running.wait(30) == 0
    (result,) = collector.results.values()
    assert collector.idle_mw == pytest.approx(5000)
    assert len(result["energy"]) == 3
    assert all(section["energy"]["samples"] >= 3 for section in result["energy"])
    expected = [5000 * section["energy"]["seconds"] / section["calls"] for section in result["energy"]]
    assert min(expected) * 0.9 < result["energy_mj"] < max(expected) * 1.1
    assert result["second_opinion"]["p50_ms"] == 0.401947
    assert result["second_opinion"]["passed"] is True
    assert result["providers"] == ["CPUExecutionProvider"]
