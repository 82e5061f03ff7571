"""In which order devices get a release: the canary first, then waves, each a share of all that has it by then."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgewright.errors import BadArgument

DEFAULT = "1,25%,100%"


def waves(devices: Sequence[str], plan: str = DEFAULT, canary: str | None = None) -> list[list[str]]:
    """Names by wave, the first of which is the canary alone; no wave is empty.

    plan: how many have the release after each wave, as numbers or shares ("1,25%,100%", rounded up), rising; the rest
    follow in a last wave. canary: None for the first device. Raises BadArgument.
    """
    if not devices:
        raise BadArgument("No device was named", where="--devices", remedy="name some: --devices a,b; ./inv devices")
    twice = next((name for name in devices if list(devices).count(name) > 1), None)
    if twice is not None:
        raise BadArgument(f"{twice!r} was named twice", where="--devices", remedy="name each device once")
    first = devices[0] if canary is None else canary
    if first not in devices:
        raise BadArgument(
            f"The canary {first!r} is none of the devices", where="--canary", remedy="name it in --devices too"
        )
    order = [first, *(name for name in devices if name != first)]
    ends = [1, *_ends(plan, len(order)), len(order)]
    found, begun = [], 0
    for end in ends:
        if end > begun:
            found.append(order[begun:end])
            begun = end
    return found


def _ends(plan: str, count: int) -> list[int]:
    """How many devices have the release after each wave."""
    found: list[float] = []
    for word in (word.strip() for word in plan.split(",")):
        match = re.fullmatch(r"([0-9]{1,9})(%?)", word)
        if match is None or (match.group(2) and int(match.group(1)) > 100):
            raise BadArgument(
                f"{word!r} is no number or share of devices", where="--waves", remedy=f"write it so: --waves {DEFAULT}"
            )
        share = match.group(2) == "%"
        end = -(-int(match.group(1)) * count // 100) if share else int(match.group(1))
        if found and end < found[-1]:
            raise BadArgument(
                f"{word!r} is fewer than the wave before",
                where="--waves",
                remedy="say how many have it after each wave",
            )
        found.append(end)
    return [min(int(end), count) for end in found]
