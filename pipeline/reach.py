"""Devices by their names in farm.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.progress import for_stream
from pipeline.project import Project

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry
    from device_agents.farm.opening import AnyDevice


def entry_named(name: str) -> DeviceEntry:
    """A device of farm.toml, or this machine by the name `host`. Raises UnknownDevice."""
    from device_agents.farm.inventory import HOST, Inventory, stand_in

    inventory = Inventory.read(Project.here().farm_file)
    return stand_in(HOST) if name == HOST and name not in inventory.entries else inventory.named(name)


def open_named(name: str) -> tuple[DeviceEntry, AnyDevice]:
    """The device of that name, and the connection to it. Raises DeviceError."""
    from device_agents.farm.opening import open_any
    from pipeline.release.signing import user_signer

    project, entry = Project.here(), entry_named(name)
    opened = open_any(entry, state=project.state, cache=project.cache, progress=for_stream(), sign=user_signer())
    return entry, opened
