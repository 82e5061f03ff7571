"""How a command of the agent ended, where it didn't end well: the errors that say so."""

from __future__ import annotations

import errno
from typing import Any

from device_agents.agent.reserve import FILE, FOLDER
from device_agents.connect.process import Completed
from device_agents.errors import AgentFailed, AgentGarbled, AgentLost, DeviceBusy, DeviceError, NoRoom
from device_agents.farm.inventory import HOST, STAND_IN
from device_agents.farm.reservation import Reservation, refusal
from device_agents.foreign import clean, printable

AGAIN = "run the same command again; what was sent is kept"


def lost(device: str, done: Completed) -> AgentLost:
    """No closing marker came."""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return AgentLost(
        f"The agent on {device} ended without its closing marker (exit status {done.status}): "
        "it was killed, or the device went down.",
        where=printable(said[-1], 300) if said else "it left no message",
        remedy=AGAIN,
    )


def garbled(device: str, what: str, excerpt: bytes = b"") -> AgentGarbled:
    """What came isn't an agent's. what: "wrote 1001 lines that ..."; excerpt: some of it."""
    return AgentGarbled(
        f"The agent on {device} {what}.",
        where=printable(excerpt[:400].decode(errors="replace"), 120),
        remedy=f"put it there again: ./inv devices.setup {HOST if device == STAND_IN else device}",
    )


def ended_badly(device: str, root: str, end: dict[str, Any], what: str) -> DeviceError:
    """The closing marker says that it didn't work. what: "could not run the job"."""
    said = printable(str(end.get("message") or end.get("error") or "it did not say why"))
    told = clean(end.get("holder"))
    holder: dict[str, Any] = told if isinstance(told, dict) else {}
    if end.get("error") == "reserved":
        return refusal(device, f"{root}/{FOLDER}/{FILE}", Reservation.told(holder))
    if end.get("error") == "busy":
        return DeviceBusy(
            f"{device} is busy: {holder.get('who', 'someone')} on {holder.get('host', 'another machine')} "
            f"has measured {holder.get('what', 'something')} there since {holder.get('since', 'a while')}.",
            where=f"{root}/lock",
            remedy="wait for it to end, then run the same command again",
            holder=holder,
        )
    if end.get("errno") == errno.ENOSPC:
        return NoRoom(
            f"{device} has no room: {said}",
            where=root,
            remedy='free some space on the device, or set root = "/a/roomier/folder" for it in farm.toml',
        )
    return AgentFailed(f"The agent on {device} {what}: {said}", where=root, remedy=AGAIN)
