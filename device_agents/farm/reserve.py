"""Reserving a device, releasing it, and going around one that somebody else has: the same for boards and phones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.agent.reserve import FILE, FOLDER
from device_agents.connect.shell import Shell
from device_agents.farm import phonereserve
from device_agents.farm.device import Device
from device_agents.farm.doctor import Finding
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.opening import AnyDevice, open_any
from device_agents.farm.phone import Phone
from device_agents.farm.reservation import DeviceReserved, Reservation, asked_by, refusal
from device_agents.farm.trustkeys import Signer
from edgewright.progress import Progress

__all__ = ["DeviceReserved", "Reservation", "finding", "open_free", "release", "reservation_of", "reserve"]


def reservation_of(device: AnyDevice) -> Reservation | None:
    """The reservation in force, one's own too; None where there is none. Raises what a connection raises."""
    # One short question where there is none, which is nearly always; a Python is started only to read one.
    if not device.connection.exists(_where(device)):
        return None
    if isinstance(device, Phone):
        shell = Shell(device.connection)
        try:
            found = phonereserve.standing(shell, device.root)
        finally:
            shell.close()
    else:
        found = _ask(device, "reservation")
    return Reservation.told(found) if found else None


def reserve(device: AnyDevice, seconds: float, note: str = "") -> Reservation:
    """Keeps a device for who runs this, on this host; a reservation of theirs that is there gives way.

    Raises DeviceReserved where it is somebody else's: of two who ask at once, one gets it. Raises NoRoom,
    DeviceFolderError, and what a connection raises.
    """
    if isinstance(device, Phone):
        found: dict[str, Any] | None = phonereserve.reserve(device.connection, device.root, seconds, note)
    else:
        found = _ask(device, "reserve", f"--seconds={seconds:.3f}", f"--note={note}")
    return Reservation.told(found or {})


def release(device: AnyDevice, anyway: bool = False) -> Reservation | None:
    """Ends a reservation; the one that was in force, None where none was. anyway: also somebody else's.

    Raises DeviceReserved, and what a connection raises.
    """
    if isinstance(device, Phone):
        found = phonereserve.release(device.connection, device.root, anyway)
    else:
        found = _ask(device, "release", *(["--anyway"] if anyway else []))
    return Reservation.told(found) if found else None


def open_free(
    entry: DeviceEntry,
    *,
    state: Path = Path(".edgewright"),
    cache: Path | None = None,
    progress: Progress | None = None,
    sign: Signer | None = None,
) -> AnyDevice:
    """A device to measure on; arguments as open_any's. Raises DeviceReserved before a bundle or a runtime is sent."""
    device = open_any(entry, state=state, cache=cache, progress=progress, sign=sign)
    try:
        found = reservation_of(device)
        if found is not None and not found.is_mine:
            raise refusal(entry.name, _where(device), found)
    except BaseException:
        device.close()
        raise
    return device


def finding(name: str, reservation: Reservation) -> Finding:
    """A reservation as the doctor says it: it spoils no measurement, it says who may take one."""
    remedy = "" if reservation.is_mine else f"./inv devices.release {name} --anyway  (and tell {reservation.who})"
    return Finding("note", f"it is reserved: {reservation}", remedy, "reserved")


def _ask(device: Device, command: str, *arguments: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = device.ask(command, "--root", device.root, *asked_by(), *arguments)["reservation"]
    return found


def _where(device: AnyDevice) -> str:
    return f"{device.root}/{FOLDER}/{FILE}"
