"""Termux over SSH as far as this machine can stand for it: its own home, TMPDIR and few programs, none of them in /bin.

What it can't show: Android's C library, and that /tmp and /bin/sh are not there at all.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import pytest

from device_agents.bundle import Bundle
from device_agents.farm.device import Device, open_device
from targets.schema import Runtime
from tests.device_agents.farm.jobs import quick_job
from tests.doubles.loopback import Loopback, sshd_path
from tests.prerequisites import require

pytestmark = [pytest.mark.device, pytest.mark.slow]

PREFIX = "data/data/com.termux/files"


@pytest.fixture
def termux(tmp_path: Path, cache: Path) -> Iterator[Device]:
    """A device whose PATH holds sh, cat, printf and a python3 that has onnxruntime, and whose home is elsewhere."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed: apt-get install openssh-client")
    require(importlib.util.find_spec("onnxruntime"), "onnxruntime is not installed: pip install onnxruntime")
    usr, home = tmp_path / PREFIX / "usr", tmp_path / PREFIX / "home"
    for folder in (usr / "bin", usr / "tmp", home):
        folder.mkdir(parents=True)
    for name in ("sh", "cat", "printf"):
        (usr / "bin" / name).symlink_to(shutil.which(name) or name)
    python = usr / "bin" / "python3"
    python.write_text(f'#!{usr}/bin/sh\nexec {quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    environment = f"SetEnv PATH={usr}/bin HOME={home} TMPDIR={usr}/tmp\n"
    with Loopback(tmp_path / "double", options=environment) as double:
        entry = double.entry(target="android").model_copy(update={"root": "~/.edgewright", "python": "python3"})
        with open_device(entry, state=tmp_path / "state", cache=cache) as device:
            yield device


def test_agent_needs_no_more_than_termux_has(termux: Device, tmp_path: Path, bundle: Callable[..., Bundle]) -> None:
    home = tmp_path / PREFIX / "home"
    assert termux.root == str(home / ".edgewright")
    said = termux.connection.run(["sh", "-c", 'echo "$TMPDIR"; command -v ls || echo no ls']).stdout.decode()
    assert said.splitlines() == [str(tmp_path / PREFIX / "usr" / "tmp"), "no ls"]
    ready, left_out = termux.available(
        [Runtime(name="benchmark_model", source="device"), Runtime(name="onnxruntime", source="device")]
    )
    assert set(ready) == {"onnxruntime"} and "adb" in left_out["benchmark_model"]
    report = termux.measure(quick_job(termux, bundle("a"), bundle("b"), target="android"))
    assert [result["error"] for result in report.results] == [None, None]
    assert all(result["blocks"] for result in report.results)
    # The runtime is the phone's own: nothing but the agent and the bundles went there.
    assert not (home / ".edgewright" / "runtimes").exists()
