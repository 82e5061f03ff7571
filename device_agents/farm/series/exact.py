"""Metrics without noise, size and accuracy: any change is a change, and one night is enough to say so."""

from __future__ import annotations

import math
from collections.abc import Sequence

from device_agents.farm.series.blame import causes
from device_agents.farm.series.nights import Night
from device_agents.farm.series.reason import is_worse
from device_agents.farm.series.settings import Settings
from device_agents.farm.series.verdict import Change, ChangePoint


def exact_changes(metric: str, nights: Sequence[Night], settings: Settings) -> tuple[ChangePoint, ...]:
    """Every night whose value is not that of the night before."""
    places = [place for place in range(1, len(nights)) if nights[place].value != nights[place - 1].value]
    found = []
    for place, end in zip(places, [*places[1:], len(nights)], strict=False):
        point = nights[place].point
        change = exact_ratio(nights[place - 1].value, nights[place].value)
        found.append(
            ChangePoint(
                seq=point.seq,
                report=point.report,
                found=point.seq,
                nights=end - place,
                ratio=change,
                worse=is_worse(metric, change.value),
                p=None,
                causes=causes(nights, place, 0.0, None, None, settings),
            )
        )
    return tuple(found)


def exact_ratio(before: float, after: float) -> Change:
    """After over before, with no width; infinite where it rose from zero."""
    ratio = after / before if before else 1.0 if not after else math.inf
    return Change(ratio, ratio, ratio)
