"""Who moved the figure? The canary is asked first, then what else changed on that night.

The rule:

1. The canary moved along: in the same direction, by at least half of the smallest magnitude, and either its own step
   has p < 0.01, or it explains half of the step or more and what is left has not. What acts on everything is blamed,
   not the model: the device where another board answered or its governor or power mode changed, the runtime, the
   kernel, the agent, whichever changed there, in this order; where none did, the device. If what the canary does not
   explain is still a step of its own, the model is blamed beside it (unknown, where its bundle is the same): before
   it where the canary explains less than half.
2. The canary stood still (its interval stays below half the step): the model where its bundle changed, then the
   runtime, the kernel, the agent and the device, whichever changed.
3. There is no canary, or it can't tell: another board first, since no two are alike, then as in 2.

What changed only on the night before or after comes behind what changed on the night itself: a small step is
sometimes found a night off. Where nothing that is known of changed, the cause is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from device_agents.farm.series.lane import Step
from device_agents.farm.series.nights import Night
from device_agents.farm.series.settings import Settings
from device_agents.farm.series.verdict import Cause, What

INGREDIENTS: Mapping[What, tuple[str, ...]] = {
    "model": ("bundle",),
    "runtime": ("runtime_version", "numpy"),
    "kernel": ("kernel", "os"),
    "agent": ("agent_version",),
    "device": ("identity", "governor", "power_mode"),
}
"""The parts of an environment, as the ledger names them (ledger/history.py), by whom they blame."""

_SHARED: tuple[What, ...] = ("device", "runtime", "kernel", "agent")
"""What acts on the canary too, the likeliest first."""

CanarySays = Literal["moved", "still", "nothing"]


def canary_says(size: float, canary: Step | None, net: Step | None, settings: Settings) -> CanarySays:
    """Whether the canary moved along with a step of this size (in logs), of which `net` is left without it."""
    if canary is None or net is None:
        return "nothing"
    if canary.size * size > 0 and abs(canary.size) >= settings.magnitude / 2:
        explains = abs(canary.size) >= abs(size) / 2 and net.p >= settings.canary
        if explains or canary.p < settings.canary:
            return "moved"
    return "still" if abs(canary.size) + canary.reach < abs(size) / 2 else "nothing"


def causes(
    nights: Sequence[Night], place: int, size: float, canary: Step | None, net: Step | None, settings: Settings
) -> tuple[Cause, ...]:
    """Whom to blame for the step of `size` (in logs) at this place, the likeliest first; never empty.

    canary, net: the canary's own step there, and the step net of it; None without one, or for a metric that is no time.
    """
    changed = _changed(nights, place)
    says = canary_says(size, canary, net, settings)
    if says == "moved" and canary is not None and net is not None:
        shared = [changed[what] for what in _SHARED if what in changed]
        shared = shared or [Cause("device", "the canary moved along")]
        if net.p >= settings.canary or abs(net.size) < settings.magnitude or net.size * size < 0:
            return tuple(shared)
        own = [changed.get("model", Cause("unknown"))]
        return tuple(shared + own if abs(canary.size) >= abs(size) / 2 else own + shared)
    order = list(INGREDIENTS)
    if says == "nothing" and "identity" in _moved(nights, place):
        order.insert(0, order.pop(order.index("device")))
    found = [changed[what] for what in order if what in changed]
    # Stable: of equals, the order above stands.
    found.sort(key=lambda cause: cause.how.endswith(_NEARBY))
    return tuple(found) or (Cause("unknown"),)


_NEARBY = ", a night off"


def _changed(nights: Sequence[Night], place: int) -> dict[What, Cause]:
    """What changed at this place, or a night off."""
    found: dict[What, Cause] = {}
    for offset in (0, -1, 1):
        moved = _moved(nights, place + offset)
        for what, names in INGREDIENTS.items():
            said = ", ".join(f"{name} {moved[name]}" for name in names if name in moved)
            if said and what not in found:
                found[what] = Cause(what, said + (_NEARBY if offset else ""))
    return found


def _moved(nights: Sequence[Night], place: int) -> dict[str, str]:
    """By ingredient, "old > new" between this night and the one before; what one of them doesn't tell is no change."""
    if not 0 < place < len(nights):
        return {}
    before, after = nights[place - 1].point.environment, nights[place].point.environment
    return {
        name: f"{_short(before[name])} > {_short(after[name])}"
        for names in INGREDIENTS.values()
        for name in names
        if before.get(name) and after.get(name) and before[name] != after[name]
    }


def _short(value: str) -> str:
    """Digests are cut to what a person compares."""
    is_digest = len(value) >= 16 and not value.strip("0123456789abcdef")
    return value[:8] if is_digest else value
