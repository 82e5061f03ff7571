"""A reservation: a small file on the device that says whose it is and until when; no restart of anything loses it.

It ends when the first of two clocks says so. The hosts': the end is written by the clock of the host that asked, and
compared with the clock of the one that reads (`now`, seconds of 1970, which each command is given). And the device's
time since its start, while that is still the same start: it only runs forward, and whatever a host's clock said, a
reservation is over once its own length has passed by it. The device's clock of the day has no say. A board without a
battery stands at the day of its image until a network sets it, and then jumps: what lies between two of its readings
may be years, or less than nothing, so that it would free a device too early, or hold it for ever.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from typing import Any, Dict, Mapping, Optional, Tuple

from .lock import Lock
from .probes import linux
from .probes.source import Garbled

# With a lock of its own, held for a moment: the device's lock would make a reservation wait for the job that runs.
FOLDER = "reservation"
FILE = "held.json"
_WAIT_S = 10.0

Reservation = Dict[str, Any]


class Reserved(Exception):
    """It is somebody else's; `reservation` is theirs, with "left_s"."""

    def __init__(self, reservation: Reservation) -> None:
        super().__init__("the device is reserved")
        self.reservation = reservation


def standing(root: str, now: Optional[float], sysroot: str = "/") -> Optional[Reservation]:
    """The reservation in force, with "left_s": seconds until it ends; None where there is none. Raises OSError.

    now: the host's clock; None where it wasn't told.
    """
    try:
        with open(_path(root), encoding="utf-8", errors="replace") as stream:
            found = parsed(stream.read(65536))
    except FileNotFoundError:
        return None
    return in_force(found, now, *since_start(sysroot))


def refuse(root: str, me: Mapping[str, Any], now: Optional[float], sysroot: str = "/") -> None:
    """Raises Reserved where somebody else has the device, OSError. me: {"who", "host"}."""
    found = standing(root, now, sysroot)
    if found is not None and not is_of(found, me):
        raise Reserved(found)


def reserve(root: str, me: Mapping[str, Any], seconds: float, note: str, now: float, sysroot: str = "/") -> Reservation:
    """Makes the reservation, in place of one's own that is there. Raises Reserved, lock.Busy, OSError."""
    with Lock(os.path.join(root, FOLDER), dict(me), _WAIT_S):
        refuse(root, me, now, sysroot)
        boot_id, up = since_start(sysroot)
        made = new(me, seconds, note, now, boot_id, up)
        _write(root, made)
    return dict(made, left_s=seconds)


def release(
    root: str, me: Mapping[str, Any], now: float, anyway: bool = False, sysroot: str = "/"
) -> Optional[Reservation]:
    """Takes a reservation away; the one that was in force, None where none was. anyway: also somebody else's.

    Raises Reserved, lock.Busy, OSError.
    """
    with Lock(os.path.join(root, FOLDER), dict(me), _WAIT_S):
        found = standing(root, now, sysroot)
        if found is not None and not anyway and not is_of(found, me):
            raise Reserved(found)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_path(root))
    return found


# The host does the same over a phone's shell, where no agent runs (farm/phonereserve.py).


def new(
    me: Mapping[str, Any], seconds: float, note: str, now: float, boot_id: Optional[str], up: Optional[float]
) -> Reservation:
    """What is written. up: seconds since the start that `boot_id` names."""
    end = {"seconds": seconds, "until": now + seconds, "boot_id": boot_id, "since_start_s": up}
    return dict({"who": me.get("who"), "host": me.get("host"), "note": note}, **end)


def parsed(text: str) -> Optional[Reservation]:
    """What `new` has made; None for anything else, which reserves nothing."""
    try:
        found = json.loads(text)
        ends = [float(found["seconds"]), float(found["until"])]
        up = found.get("since_start_s")
        ends += [] if up is None else [float(up)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return found if all(math.isfinite(value) for value in ends) else None


def in_force(
    found: Optional[Reservation], now: Optional[float], boot_id: Optional[str], up: Optional[float]
) -> Optional[Reservation]:
    """The reservation with "left_s", its length at most; None where it is over, or there was none."""
    if found is None:
        return None
    length = float(found["seconds"])
    left = length if now is None else min(length, float(found["until"]) - now)
    began = found.get("since_start_s")
    if boot_id is not None and found.get("boot_id") == boot_id and up is not None and began is not None:
        left = min(left, length - (up - float(began)))
    return dict(found, left_s=left) if left > 0 else None


def is_of(found: Mapping[str, Any], me: Mapping[str, Any]) -> bool:
    """Whose it is: the same person's on the same host."""
    return all(found.get(name) == me.get(name) for name in ("who", "host"))


def since_start(sysroot: str = "/") -> Tuple[Optional[str], Optional[float]]:
    """(which start of the device this is, seconds since then); None for what it doesn't tell."""
    try:
        return linux.boot_id(sysroot), linux.uptime_s(sysroot)
    except Garbled:
        return None, None


def _path(root: str) -> str:
    return os.path.join(root, FOLDER, FILE)


def _write(root: str, made: Reservation) -> None:
    """Whole or not at all, also through a power cut: that is when a reservation is needed."""
    temporary = _path(root) + ".part"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(made))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, _path(root))
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    folder = os.open(os.path.join(root, FOLDER), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
