"""The choice at the end: the fastest that holds everything, the smallest of equals, never a loss."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.search.constraints import Constraints
from pipeline.search.entries import Entry, broken, choose, front_of

BASE = Entry(
    "trained", "litert", "float32", {}, validation=0.93, metric={"name": "top-1", "value": 0.92}, p50_ms=1.0,
    bytes=1_000_000, download=900_000,
)  # fmt: skip


def _entry(name: str, speedup: float, value: float = 0.92, size: int = 100_000, validation: float = 0.93) -> Entry:
    return replace(
        BASE, name=name, p50_ms=1 / speedup, bytes=size, download=size, validation=validation,
        metric={"name": "top-1", "value": value},
        speedup={"value": speedup, "low": speedup * 0.99, "high": speedup * 1.01},
    )  # fmt: skip


def _chosen(entries: list[Entry], asked: Constraints, floor: float = 0.0) -> tuple[Entry | None, Entry]:
    every = [BASE, *entries]
    return choose(every, BASE, {one.name: broken(one, BASE, asked, floor, {}) for one in every})


def test_the_fastest_within_the_drop_is_chosen() -> None:
    chosen, _ = _chosen([_entry("a", 3.0), _entry("b", 9.0, value=0.90), _entry("c", 2.0)], Constraints(0.01))
    assert chosen is not None
    assert chosen.name == "a"


def test_the_drop_counts_on_validation_too() -> None:
    chosen, _ = _chosen([_entry("a", 3.0, validation=0.915), _entry("c", 2.0)], Constraints(0.01))
    assert chosen is not None
    assert chosen.name == "c"


def test_of_equally_fast_ones_the_smallest_is_chosen() -> None:
    chosen, _ = _chosen([_entry("big", 3.02, size=200_000), _entry("small", 3.0, size=90_000)], Constraints(0.01))
    assert chosen is not None
    assert chosen.name == "small"


@pytest.mark.parametrize(
    ("asked", "floor", "broke"),
    [
        (Constraints(0.01, max_ms=0.1), 0.0, "ms"),
        (Constraints(0.01, max_kb=50), 0.0, "bytes"),
        (Constraints(0.01), 0.95, "floor"),
    ],
)
def test_what_cannot_be_met_ends_with_the_best_found(asked: Constraints, floor: float, broke: str) -> None:
    entries = [_entry("a", 3.0), _entry("b", 2.0, size=120_000)]
    chosen, best = _chosen(entries, asked, floor)
    assert chosen is None
    assert best.name == "a"
    assert set(broken(best, BASE, asked, floor, {})) == {broke}


def test_a_loss_is_never_chosen() -> None:
    slower = _entry("slower", 0.7)
    chosen, _ = _chosen([slower], Constraints(0.01))
    assert chosen == BASE


def test_what_failed_is_neither_chosen_nor_on_the_front() -> None:
    failed = replace(_entry("failed", 50.0), trouble="it failed")
    unmeasured = replace(_entry("unmeasured", 50.0), metric=None)
    chosen, _ = _chosen([failed, unmeasured], Constraints(0.01))
    assert chosen == BASE
    assert front_of([BASE, failed, unmeasured]) == [BASE]


def test_the_front_holds_what_no_other_beats() -> None:
    fast, small, beaten = _entry("fast", 5.0), _entry("small", 2.0, size=1000), _entry("beaten", 1.5, size=2000)
    assert {one.name for one in front_of([BASE, fast, small, beaten])} == {"fast", "small"}
    exact = _entry("exact", 1.0, value=0.95, size=3_000_000)
    assert exact in front_of([BASE, fast, exact])
