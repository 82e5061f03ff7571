"""Between measured widths times follow the cell around them, and beyond the grid they stay possible."""

from __future__ import annotations

from itertools import product

import pytest

from pipeline.costs.interpolation import Point, interpolate

GRID: dict[Point, float] = {(a, b): 1.0 + 0.01 * a * b for a, b in product((8, 16, 64), (8, 32, 64))}


def test_measured_point_is_told_as_it_was_measured() -> None:
    bumpy: dict[Point, float] = {(8,): 1.0, (14,): 3.0, (16,): 2.0}
    assert interpolate(bumpy, (14,)) == 3.0


@pytest.mark.parametrize("at", [(8, 20), (12, 8), (40, 48), (64, 33)])
def test_inside_a_full_grid_a_product_of_widths_is_exact(at: tuple[int, int]) -> None:
    assert interpolate(GRID, at) == pytest.approx(1.0 + 0.01 * at[0] * at[1])


def test_beyond_the_grid_the_last_cell_goes_on() -> None:
    assert interpolate(GRID, (80, 64)) == pytest.approx(1.0 + 0.01 * 80 * 64)


def test_far_below_the_grid_no_time_is_negative() -> None:
    assert interpolate({(10,): 1.0, (11,): 5.0}, (1,)) == 0.5


def test_one_point_speaks_for_all() -> None:
    assert interpolate({(8, 8): 2.0}, (4, 4)) == 2.0


def test_missing_corner_is_filled_in_between_its_neighbours() -> None:
    torn = {point: ms for point, ms in GRID.items() if point != (64, 64)}
    assert min(torn.values()) < interpolate(torn, (60, 60)) < max(torn.values())
