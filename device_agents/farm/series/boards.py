"""A name's series is that of one board: what another board measured under the name is no night of it.

No two boards are alike, so a change of board is a step that says nothing of the model. Series are named by the device's
name (ledger/points.py: Key), and every point says which board it is of; here the newest board's are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from device_agents.farm.ledger.points import Point, Series


def of_newest_boards(series: Sequence[Series]) -> list[Series]:
    """Each series without the points of other boards than its newest one.

    A board that comes back goes on where it was. A point that doesn't say which board it is of stays where no other
    board has measured since.
    """
    return [replace(one, points=_newest(one.points)) for one in series]


def _newest(points: Sequence[Point]) -> tuple[Point, ...]:
    kept: list[Point] = []
    board, others = None, False
    for point in reversed(points):
        told = point.environment.get("identity") or None
        board = board or told
        if told not in (None, board):
            others = True
        elif told is not None or not others:
            kept.append(point)
    return tuple(reversed(kept))
