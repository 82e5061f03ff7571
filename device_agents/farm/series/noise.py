"""How much a night's figure varies when nothing changed: learned from the series itself, a default while it is young.

Sources: rustc-perf for the fence (Q3 + 3 IQR of the changes that the same test showed before; Tukey's "far out",
"Exploratory Data Analysis", 1977); von Neumann et al., "The mean square successive difference" (1941) for a scatter
that a drifting level doesn't inflate; Huber, "Robust Statistics" (1981), for clipping what is far out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from device_agents.farm.paired import percentile
from device_agents.farm.series.settings import Settings

FENCE = 3.64
"""Where Q3 + 3 IQR of the absolute changes lies, in standard deviations of a change, if changes are normal."""


def root_mean_square(values: Sequence[float], floor: float) -> float:
    """Root mean square of values around zero, at least `floor`; what is far out is pulled in to three standard
    deviations by their quartiles."""
    ordered = sorted(map(abs, values))
    # The median while it says anything: memory is often the very same for most nights.
    scale = percentile(ordered, 0.5) / 0.6745 or percentile(ordered, 0.75) / 1.1503
    bound = 3 * max(scale, floor)
    within = bisect_right(ordered, bound)
    total = math.fsum([value * value for value in ordered[:within]]) + (len(ordered) - within) * bound**2
    return max(floor, math.sqrt(total / len(ordered)))


def scatter(changes: Sequence[float], floor: float) -> float:
    """Standard deviation of one night's log figure, out of night-to-night changes (each the difference of two)."""
    return max(floor, root_mean_square(changes, floor) / math.sqrt(2))


def fence(changes: Sequence[float], spread: float, settings: Settings) -> float:
    """The change of a log figure beyond which a young series is said to have changed.

    Learned from the few changes that there are, blended with the default: that one counts less with every night.
    spread: standard error of a night's figure by its own blocks, 0.0 where it isn't known.
    """
    default = FENCE * math.sqrt(2) * max(settings.default_noise, spread)
    learned, share = 0.0, 0.0
    if len(changes) >= settings.few:
        ordered = sorted(abs(change) for change in changes)
        q1, q3 = percentile(ordered, 0.25), percentile(ordered, 0.75)
        learned, share = q3 + 3 * (q3 - q1), min(1.0, len(changes) / settings.short)
    blended = math.sqrt(share * learned**2 + (1 - share) * default**2)
    return max(settings.magnitude, blended, FENCE * math.sqrt(2) * spread, learned)
