"""A device at the beginning of a night: whether it is the board that is meant, free, of its target's kind and fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_agents.farm.doctor import doctor, verdict
from device_agents.farm.identity import identity, met, replaced
from device_agents.farm.inventory import HOST, STAND_IN, DeviceEntry
from device_agents.farm.night.record import DeviceState
from device_agents.farm.opening import AnyDevice
from device_agents.farm.quarantine import Quarantine
from device_agents.farm.reserve import reservation_of
from targets.schema import Target


@dataclass(frozen=True)
class Seen:
    """What was found; a healthy one is measured on."""

    state: DeviceState
    identity: str | None = None
    problem: str | None = None
    remedy: str | None = None


def visit(device: AnyDevice, entry: DeviceEntry, target: Target, state: Path) -> Seen:
    """Looks at an open device; one in quarantine comes back where the doctor finds nothing that blocks it.

    Raises what a connection raises, and BoardsFileError.
    """
    held = reservation_of(device)
    if held is not None:
        # Its owner's own night too: who works on a board at two in the morning wants it for that.
        free = f"./inv devices.release {entry.name}" + ("" if held.is_mine else f" --anyway  (and tell {held.who})")
        return Seen("reserved", None, str(held), free)
    board = identity(device.probe()["facts"])
    # What this machine is called is no board's name, and an emulated board has none.
    if entry.name not in (STAND_IN, HOST) and not entry.stand_in and not entry.emulated and board is not None:
        meant = met(state, entry.name, board)
        if meant is not None:
            return Seen("replaced", board, *replaced(entry.name, meant, board))
    found = device.system.machine
    if target.machines and found not in target.machines and not entry.stand_in:
        said = f"it is a {found}; a {target.name} is {' or '.join(target.machines)}"
        return Seen("unfit", board, said, f"correct devices.{entry.name}.target in farm.toml")
    quarantine = Quarantine.read(state)
    if (held_out := quarantine.of(entry.name)) is not None:
        findings, _ = doctor(device, target)
        if any(one.level == "blocks" for one in findings):
            said = f"in quarantine since {held_out.since}: {held_out.why}; {verdict(findings)}"
            return Seen("quarantined", board, said, f"./inv devices.doctor {entry.name}")
        quarantine.passed(entry.name)
    return Seen("healthy", board)
