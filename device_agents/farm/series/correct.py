"""Many series at once: which p values still count when so many were looked at."""

from __future__ import annotations

from collections.abc import Iterable


def cut(values: Iterable[float], tests: int, alpha: float) -> float:
    """The largest p that is a discovery among `tests` tests, of which `values` are the smallest p; 0.0 if none is.

    Benjamini & Hochberg, "Controlling the False Discovery Rate" (JRSS B 57, 1995), not Holm: on a night on which
    nothing changed the two raise an alarm equally rarely (with probability alpha), but a new runtime or a hot board
    moves many series at once, and then Holm still asks of each that it stands alone. It holds for series that move
    together (Benjamini & Yekutieli, 2001), as those of one board do.
    """
    found = 0.0
    for rank, value in enumerate(sorted(values), 1):
        if value <= alpha * rank / tests:
            found = value
    return found
