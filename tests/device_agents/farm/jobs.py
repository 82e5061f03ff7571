"""Quick jobs for the tests of devices, and the processes that they leave or don't."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle
from device_agents.farm.device import Device
from device_agents.farm.job import Job, JobVariant

Make = Callable[..., Bundle]


def quick_job(device: Device, *bundles: Bundle, **changes: Any) -> Job:
    """A job of a second or two over bundles that are installed for it."""
    variants = [JobVariant(name=one.manifest.name, bundle=device.install(one.folder)) for one in bundles]
    # Other tests run beside this one: nobody is waited for.
    quick = {"processes": 2, "blocks": 2, "block_seconds": 0.02, "warmup_seconds": 0.02, "settle_s": 0.0}
    return Job(**{"model": "tiny", "target": "raspberry-pi", "variants": variants, **quick, **changes})


def worker_of(agent_pid: int) -> int:
    """A child of the agent, as the kernel lists it."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == agent_pid:
                    return int(folder.name)
            except (OSError, IndexError):
                continue
    raise AssertionError("the agent has no worker")


def agents_of(root: str) -> list[int]:
    """Processes that run an agent out of `root`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{root}/agent/".encode() in line and b"python" in line.partition(b"\0")[0]:
                found.append(int(folder.name))
    return found


def wait_until(true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Waits for something that must come to be; fails where it doesn't."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
