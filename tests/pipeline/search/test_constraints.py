"""What may be asked of a search: contradictions and budgets that mean nothing end with one clear message."""

from __future__ import annotations

import random

import pytest

from edgewright.errors import BadArgument, EdgewrightError
from pipeline.search.constraints import CAUTION, Constraints, Contradiction, cautious, check_floor, read_budget


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("45", 45), ("1.5m", 90)]
)
def test_budget_is_read_in_every_spelling(text: str, seconds: float) -> None:
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0s", "5d", "m", "1e99", "99999h", "3m2h"])
def test_budget_of_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadArgument, match="no budget") as caught:
        read_budget(text)
    assert "30m" in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"max_drop": -0.01}, "--max-drop"),
        ({"max_drop": 1.0}, "--max-drop"),
        ({"max_drop": float("nan")}, "--max-drop"),
        ({"max_ms": 0.0}, "--max-ms"),
        ({"max_ms": float("nan")}, "--max-ms"),
        ({"max_kb": 0.1}, "--max-kb"),
        ({"max_kb": -3.0}, "--max-kb"),
    ],
)
def test_what_nothing_can_hold_is_refused(given: dict[str, float], where: str) -> None:
    with pytest.raises(Contradiction) as caught:
        Constraints(**given)
    assert caught.value.where == where
    assert caught.value.remedy


def test_a_floor_above_the_trained_network_is_a_contradiction() -> None:
    check_floor(0.9, "top-1", 0.9, "m.toml")
    for reached in (0.9, float("nan")):
        with pytest.raises(EdgewrightError, match="below the floor") as caught:
            check_floor(0.95, "top-1", reached, "m.toml")
        assert caught.value.exit_status == 3


def test_validation_may_lose_less_than_what_is_asked_by_its_noise() -> None:
    assert cautious(0.03, base=0.94, samples=5000) == pytest.approx(0.03 - (0.06 / 5000) ** 0.5)
    assert cautious(0.03, base=0.94, samples=20_000) > cautious(0.03, base=0.94, samples=5000)
    assert cautious(0.01, base=0.9, samples=100) == pytest.approx((1 - CAUTION) * 0.01)  # more noise than is asked
    assert cautious(0.0, base=0.9, samples=100) == 0
    # Beside a network that never errs, candidates err as often as is asked.
    assert cautious(0.01, base=1.0, samples=100_000) == pytest.approx(0.01 - (0.01 / 100_000) ** 0.5)


def test_best_of_many_holds_more_often_with_caution() -> None:
    """Networks around the limit, judged with noise: of those that seem to hold, the fastest loses too much."""
    chance = random.Random(0)
    asked, samples, base = 0.01, 5000, 0.94
    lost = [0.004 + 0.0008 * number for number in range(16)]  # the more is lost, the faster
    held = {asked: 0, cautious(asked, base, samples): 0}
    for _ in range(300):
        seen = [one + chance.gauss(0, ((1 - base) / samples) ** 0.5) for one in lost]
        for limit in held:
            fastest = max((true for true, judged in zip(lost, seen, strict=True) if judged <= limit), default=0.0)
            held[limit] += fastest <= asked
    without, cautiously = held.values()
    assert without < 0.4 * 300 and cautiously > 2 * without
