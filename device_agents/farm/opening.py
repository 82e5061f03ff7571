"""Opening a device of any kind: with an agent where it has a Python, a phone by adb without one."""

from __future__ import annotations

from pathlib import Path

from device_agents.connect import connect
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.phone import Phone
from device_agents.farm.trustkeys import Signer
from edgewright.progress import Progress

AnyDevice = Device | Phone


def open_any(
    entry: DeviceEntry,
    *,
    state: Path = Path(".edgewright"),
    cache: Path | None = None,
    progress: Progress | None = None,
    sign: Signer | None = None,
) -> AnyDevice:
    """Connects to a device; arguments as open_device's. Raises device_agents.errors."""
    if entry.kind != "adb":
        return open_device(entry, state=state, cache=cache, progress=progress, sign=sign)
    connection, root = connect(entry, state)
    try:
        return Phone(entry, connection, root, progress, state)
    except BaseException:
        connection.close()
        raise
