"""The bodies of `devices.reserve` and `devices.release`: a device for oneself, for a while."""

from __future__ import annotations

from device_agents.farm import reserve as reserving
from device_agents.farm.reservation import shown
from device_agents.foreign import WORD, printable
from edgewright.errors import BadArgument
from pipeline.reach import open_named
from pipeline.searching import LONGEST_S, seconds
from pipeline.table import plain


def reserve(name: str, length: str, note: str = "") -> None:
    """Keeps a device for who types this, and says until when. length: 90m, 2h, up to a week.

    Raises BadArgument, DeviceReserved, and what a connection raises.
    """
    seconds_ = read_length(length)
    _, opened = open_named(name)
    with opened as device:
        made = reserving.reserve(device, seconds_, printable(note, WORD))
        holder = device.holder()
    print(f"  {name}: {plain(made)}")
    if holder is not None:
        who, what = (plain(holder.get(key) or otherwise) for key, otherwise in (("who", "someone"), ("what", "a job")))
        print(f"  a job runs there now and goes on to its end: {who}, {what}")


def release(name: str, anyway: bool = False) -> None:
    """Ends a reservation, and says whose it was. Raises DeviceReserved where it is somebody else's and not `anyway`."""
    _, opened = open_named(name)
    with opened as device:
        ended = reserving.release(device, anyway)
    if ended is None:
        print(f"  {name}: there was no reservation")
    else:
        whose = "yours" if ended.is_mine else f"{ended.who}'s on {ended.host}"
        print(f"  {name} is free: the reservation was {plain(whose)}, with {shown(ended.left_s)} left")


def read_length(text: str) -> float:
    """Seconds of `90m`, `2h`, `1h30m`. Raises BadArgument."""
    try:
        return seconds(text)
    except ValueError as error:
        raise BadArgument(
            f"For how long? {text!r} is no length of time up to {LONGEST_S / 86400:.0f} days",
            where="--for",
            remedy="give minutes or hours: --for 90m, 2h",
        ) from error
