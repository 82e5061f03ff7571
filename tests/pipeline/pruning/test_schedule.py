"""Schedules of iterative pruning: the shares that their papers give."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pruning.schedule import share_gone

CURVES = ("linear", "cubic", "geometric")


@pytest.mark.parametrize(
    ("curve", "shares"),
    [
        ("linear", [0.2, 0.4, 0.6, 0.8]),
        ("cubic", [0.8 * (1 - 27 / 64), 0.8 * (1 - 8 / 64), 0.8 * (1 - 1 / 64), 0.8]),
        ("geometric", [1 - 0.2**0.25, 1 - 0.2**0.5, 1 - 0.2**0.75, 0.8]),
    ],
)
def test_share_gone_follows_its_curve(curve: str, shares: list[float]) -> None:
    assert [share_gone(0.8, round_, 4, curve) for round_ in (1, 2, 3, 4)] == pytest.approx(shares)


def test_share_gone_geometric_takes_the_same_share_of_what_is_left() -> None:
    left = [1.0, *(1 - share_gone(0.9, round_, 5, "geometric") for round_ in range(1, 6))]
    ratios = [after / before for before, after in pairwise(left)]
    assert ratios == pytest.approx([0.1**0.2] * 5)


@given(st.floats(0, 1), st.integers(1, 30), st.sampled_from(CURVES))
def test_share_gone_never_falls_and_ends_at_the_final_share(final: float, rounds: int, curve: str) -> None:
    shares = [share_gone(final, round_, rounds, curve) for round_ in range(1, rounds + 1)]
    assert shares[-1] == final
    assert all(0 <= share <= final + 1e-12 for share in shares)
    assert all(after >= before - 1e-12 for before, after in pairwise(shares))


@given(st.floats(0, 0.99), st.integers(2, 30), st.integers(1, 30))
def test_share_gone_cubic_and_geometric_take_more_at_first_than_linear(final: float, rounds: int, round_: int) -> None:
    linear, cubic, geometric = (share_gone(final, min(round_, rounds), rounds, curve) for curve in CURVES)
    assert cubic >= linear - 1e-12
    assert geometric >= linear - 1e-12


@pytest.mark.parametrize(
    ("final", "round_", "rounds", "curve"),
    [(0.5, 0, 3, "linear"), (0.5, 4, 3, "linear"), (1.1, 1, 3, "cubic"), (0.5, 1, 3, "steep")],
)
def test_share_gone_refuses_what_has_no_meaning(final: float, round_: int, rounds: int, curve: str) -> None:
    with pytest.raises(ValueError):
        share_gone(final, round_, rounds, curve)
