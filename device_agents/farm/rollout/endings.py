"""What became of a device that was lost in the middle of a rollout: the device is asked, nothing is believed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from device_agents.errors import (
    AgentLost,
    AuthenticationFailed,
    CommandTimedOut,
    DeviceBusy,
    DeviceError,
    DeviceUnreachable,
    EndlessOutput,
    HostKeyChanged,
    LinkLost,
    UnknownHostKey,
)
from device_agents.farm.device import open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.reservation import DeviceReserved
from device_agents.farm.rollout.errors import NoRolloutThere, RolloutBusy
from device_agents.farm.rollout.shipment import Shipment
from device_agents.farm.rollout.told import survey
from edgewright.errors import EdgewrightError

NOT_ITS_FAULT = (
    AgentLost,
    AuthenticationFailed,
    CommandTimedOut,
    DeviceBusy,
    DeviceReserved,
    DeviceUnreachable,
    EndlessOutput,
    HostKeyChanged,
    LinkLost,
    RolloutBusy,
    UnknownHostKey,
)
"""What keeps a release from a device and says nothing against the release."""
_AGAIN_S = 2.0


def truth(
    entry: DeviceEntry, home: Path, cache: Path, shipment: Shipment, error: Exception, patience_s: float
) -> dict[str, Any]:
    """What a record says of a device that was lost while the release was on trial: good where it has kept it.

    home, cache: the project's; patience_s: how long to ask, for a trial ends by itself once nothing is heard from us.
    """
    what, remedy = (error.what, error.remedy) if isinstance(error, EdgewrightError) else (_unexpected(error), "")
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with open_device(entry, state=home, cache=cache) as device:
                found = survey(device)
            there = found.of(shipment.model)
            running = there.running if there is not None else None
            if found.busy is None and (running is None or running.state != "trial"):
                kept = running is not None and running.digest == shipment.digest
                runs = running.version if running is not None else None
                if kept:
                    return {
                        "state": "good",
                        "runs": runs,
                        "why": f"its answer was lost, and it has kept it: {what}",
                    }
                tried = there is not None and there.failed is not None and there.failed.digest == shipment.digest
                state = "rolled back" if tried else "failed"
                return {"state": state, "runs": runs, "why": what, "remedy": remedy}
        except DeviceError as gone:
            last: DeviceError = gone
        else:
            last = DeviceBusy("somebody works on its releases")
        if time.monotonic() > deadline:
            return {
                "state": "unknown",
                "runs": None,
                "why": f"{what} Since then: {last.what} It goes back to the release before by itself.",
                "remedy": f"./inv fleet --devices {entry.name}   (once it can be reached)",
            }
        time.sleep(_AGAIN_S)


def _unexpected(error: Exception) -> str:
    return f"{type(error).__name__}: {error}."


def no_rollout_by_adb(entry: DeviceEntry) -> NoRolloutThere:
    """The refusal for a phone without a Python."""
    return NoRolloutThere(
        f"{entry.name} is a phone by adb: its shell can't check a release, run its sample or go back by itself.",
        where=entry.where,
        remedy="name Termux's SSH server in farm.toml (docs/android.md), or ship the model in the app",
    )
