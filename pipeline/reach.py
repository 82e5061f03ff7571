"""Devices of farm.toml: which one is meant, and the connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError
from edgewright.progress import Progress, for_stream
from pipeline.project import Project

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry
    from device_agents.farm.opening import AnyDevice
    from targets.schema import Target


class NotReachable(EdgewrightError):
    """No agent runs on such devices, so nothing can be measured there, nor can this machine stand in."""


def device_of(project: Project, target: Target, device: str | None) -> DeviceEntry:
    """The farm's device of that name, or the one of that target; this machine where there is none.

    Raises NotReachable, and what Inventory.read and choose raise.
    """
    if not target.reachable:
        raise NotReachable(
            f"Nothing is measured on an {target.name} device: no agent runs there.",
            where=f"{target.name}.toml: reachable",
            remedy=f"./inv build --target {target.name}, then ./inv accept BUNDLE --unmeasured and ./inv release",
        )
    from device_agents.farm.inventory import Inventory

    return Inventory.read(project.farm_file).choose(target.name, device)


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


def open_unreserved(project: Project, entry: DeviceEntry, progress: Progress | None = None) -> AnyDevice:
    """A connection to a device that nobody else has reserved; what is sent there is signed with the user's key where
    the device trusts keys. Raises DeviceError; DeviceReserved before anything is sent."""
    from device_agents.farm.reserve import open_free
    from pipeline.release.signing import user_signer

    return open_free(entry, state=project.state, cache=project.cache, progress=progress, sign=user_signer())
