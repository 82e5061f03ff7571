"""`./inv farm.demo` as a person types it: minutes of real nights on a small farm of board doubles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from device_agents.farm.night.record import nights
from tests.deploy.cli import run
from tests.doubles.loopback import sshd_path
from tests.prerequisites import require

pytestmark = [pytest.mark.slow, pytest.mark.device, pytest.mark.alone]


def test_demo_catches_its_plant_and_nothing_else(tmp_path: Path) -> None:
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed: apt-get install openssh-client")
    ended = run(tmp_path, "farm.demo", "--no-open", "--devices", "2", timeout=1500)
    assert ended.status == 0, ended.text
    assert "the plant was caught, and nothing else" in ended.text
    found = nights(tmp_path / "demo" / "state")
    assert found[-1].status == 1
    assert {build.state for build in found[1].builds} == {"cached"}  # a quiet night builds nothing
    assert (tmp_path / "demo" / "state" / "dashboard" / "index.html").is_file()
