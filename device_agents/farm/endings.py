"""How a command of the agent ended, where it didn't end well: the errors that say so."""

from __future__ import annotations

import errno
from typing import Any

from device_agents.connect.process import Completed
from device_agents.errors import AgentFailed, AgentLost, DeviceBusy, DeviceError, NoRoom

AGAIN = "run the same command again; what was sent is kept"


def lost(device: str, done: Completed) -> AgentLost:
    """No closing marker came."""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return AgentLost(
        f"The agent on {device} ended without its closing marker (exit status {done.status}): "
        "it was killed, or the device went down.",
        where=said[-1][:300] if said else "it left no message",
        remedy=AGAIN,
    )


def ended_badly(device: str, root: str, end: dict[str, Any], what: str) -> DeviceError:
    """The closing marker says that it didn't work. what: "could not run the job"."""
    if end.get("error") == "busy":
        holder = end.get("holder") or {}
        return DeviceBusy(
            f"{device} is busy: {holder.get('who', 'someone')} on {holder.get('host', 'another machine')} "
            f"has measured {holder.get('what', 'something')} there since {holder.get('since', 'a while')}.",
            where=f"{root}/lock",
            remedy="wait for it to end, then run the same command again",
            holder=holder,
        )
    if end.get("errno") == errno.ENOSPC:
        return NoRoom(
            f"{device} has no room: {end.get('message')}",
            where=root,
            remedy='free some space on the device, or set root = "/a/roomier/folder" for it in farm.toml',
        )
    return AgentFailed(
        f"The agent on {device} {what}: {end.get('message') or end.get('error')}", where=root, remedy=AGAIN
    )
