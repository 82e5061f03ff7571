"""A reservation as the host reads it: whose a device is, until when by this host's clock; and the refusal."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from device_agents.errors import DeviceError
from device_agents.farm.inventory import HOST, STAND_IN
from device_agents.foreign import is_number, printable
from edgewright.places import user_name


class DeviceReserved(DeviceError):
    """Somebody else has reserved the device."""


@dataclass(frozen=True)
class Reservation:
    """Who has a device, from which host, until when (UTC, ISO 8601), with what note; left_s: seconds until then."""

    who: str
    host: str
    until_utc: str
    note: str = ""
    left_s: float = 0.0

    @classmethod
    def told(cls, given: Mapping[str, Any]) -> Reservation:
        """Of what a device says (agent/reserve.py), its texts made harmless; what it doesn't say is "someone"."""

        def text(name: str, otherwise: str) -> str:
            return printable(str(given.get(name) or otherwise), 200)

        left = given.get("left_s")
        seconds = min(max(float(left), 0.0), 1e9) if left is not None and is_number(left) else 0.0
        until = datetime.now(timezone.utc) + timedelta(seconds=seconds)
        return cls(
            text("who", "someone"),
            text("host", "another machine"),
            until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            text("note", ""),
            seconds,
        )

    @property
    def is_mine(self) -> bool:
        """Whether it is of who runs this, on this host."""
        return {"who": self.who, "host": self.host} == me()

    def __str__(self) -> str:
        """`ada on bench has it until 2026-11-26 14:05 UTC (42 min left): a new kernel`."""
        who = "you have" if self.is_mine else f"{self.who} on {self.host} has"
        until = self.until_utc[:16].replace("T", " ")
        return f"{who} it until {until} UTC ({shown(self.left_s)} left)" + (f": {self.note}" if self.note else "")


def me() -> dict[str, str]:
    """Whose this process's reservations are: the person and the host, spelled as a device gives them back."""
    return {"who": printable(user_name(), 200), "host": printable(socket.gethostname(), 200)}


def asked_by() -> list[str]:
    """The arguments by which an agent's command knows who asks, and what time it is for them."""
    return [f"--now={time.time():.3f}", *(f"--{name}={value}" for name, value in me().items())]


def refusal(device: str, where: str, reservation: Reservation) -> DeviceReserved:
    """The error for whoever wants a device that is another's. where: of the file on it."""
    name = HOST if device == STAND_IN else device
    return DeviceReserved(
        f"{device} is reserved: {reservation}.",
        where=where,
        remedy=f"wait, or ask {reservation.who}; to take it all the same: ./inv devices.release {name} --anyway",
    )


def shown(seconds: float) -> str:
    """Minutes, rounded up, or hours and minutes: 42 min, 2 h 05 min."""
    minutes = max(1, -int(-seconds // 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
