"""Series of one board: another board under the same name neither continues it nor makes a change in it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from device_agents.farm.ledger.points import Series
from device_agents.farm.series import judge
from device_agents.farm.series.boards import of_newest_boards
from tests.device_agents.farm.series.nightly import levels, series


def _boards(told: Sequence[str | None]) -> Series:
    return series([1e6] * len(told), environment={night: {"identity": one or ""} for night, one in enumerate(told)})


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("aaa", [0, 1, 2]),
        ("aab", [2]),
        ("aaba", [0, 1, 3]),
        ("aabb", [2, 3]),
        ("...", [0, 1, 2]),
        (".aa", [0, 1, 2]),
        ("aa.", [0, 1, 2]),
        ("a.b", [1, 2]),
        ("b.ab", [0, 3]),
        ("", []),
    ],
)
def test_points_of_other_boards_are_left_out(told: str, kept: list[int]) -> None:
    (found,) = of_newest_boards([_boards([None if one == "." else one for one in told])])
    assert [point.seq for point in found.points] == kept


def test_slower_board_is_no_change_of_the_model() -> None:
    nights = levels(20, 20, step=1.3)
    replaced = series(nights, environment={20: {"identity": "bb"}})
    (alarm,) = judge([replaced])
    assert alarm.changes and alarm.changes[0].causes[0].what == "device"
    (found,) = judge(of_newest_boards([replaced]))
    assert found.changes == () and found.nights == 20 and not found.worse


def test_change_on_the_new_board_is_found_against_its_own_nights() -> None:
    nights = [value * 1.3 for value in levels(20, 10, step=1.1)]
    both = series([*levels(20, 0), *nights], environment={20: {"identity": "bb"}, 40: {"bundle": "0f12" * 8}})
    (found,) = judge(of_newest_boards([both]))
    (change,) = found.changes
    assert change.causes[0].what == "model" and 1.05 < change.ratio.value < 1.15
