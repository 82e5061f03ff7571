"""Ways to reach a device: one interface (base.Connection), one module a way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_agents.connect.base import Connection
    from device_agents.farm.inventory import DeviceEntry


def connect(entry: DeviceEntry, state: Path) -> tuple[Connection, str]:
    """A connection to a device, and the agent's folder there, not expanded yet. Raises device_agents.errors."""
    if entry.kind == "local":
        from device_agents.connect.local import LocalConnection, base_python

        # The default is for devices; here it would be whatever is first on PATH, often our own virtual environment.
        python = base_python() if entry.python == "python3" else entry.python
        root = str((state / "device").absolute()) if entry.root == "~/.edgewright" else entry.root
        return LocalConnection(entry.name, python), root
    if entry.kind == "adb":
        from device_agents.connect.adb import AdbConnection

        # Android's shell may write here and run programs from here; its home folder is nobody's.
        root = "/data/local/tmp/edgewright" if entry.root == "~/.edgewright" else entry.root
        return AdbConnection.open(entry), root
    from device_agents.connect.ssh import SshConnection

    return SshConnection.open(entry), entry.root
