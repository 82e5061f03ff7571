"""Blocks and warm-up: counts and limits, with calls that do next to nothing or wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from device_agents.agent import timing


class _Counted:
    def __init__(self, seconds: float = 0.0) -> None:
        self.calls = 0
        self._seconds = seconds

    def __call__(self) -> None:
        self.calls += 1
        if self._seconds:
            time.sleep(self._seconds)


def test_warm_up_meets_count_and_time() -> None:
    assert timing.warm_up(_Counted(), 7, 0.0)["calls"] >= 7
    slow = _Counted(0.01)
    found = timing.warm_up(slow, 1, 0.1)
    assert found["calls"] == slow.calls
    assert found["seconds"] >= 0.1


def test_warm_up_of_nothing_calls_nothing() -> None:
    call = _Counted()
    assert timing.warm_up(call, 0, 0.0)["calls"] == call.calls == 0


class _Clock:
    """Stands for perf_counter: time passes only where a call takes some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes: Callable[[int], float]) -> None:
        self.now = 0.0
        self.calls = 0
        self._takes = takes
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(time, "perf_counter_ns", lambda: int(self.now * 1e9))

    def __call__(self) -> None:
        self.now += self._takes(self.calls)
        self.calls += 1


def test_warm_up_goes_on_until_a_call_takes_as_long_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred calls that get quicker by two per cent each, then steady ones: count and time are met long before."""
    call = _Clock(monkeypatch, lambda number: 0.001 * 0.98 ** min(number, 100))
    found = timing.warm_up(call, 10, 0.02)
    assert found["stable"]
    assert call.calls >= 100
    steady = _Clock(monkeypatch, lambda number: 0.001)
    assert timing.warm_up(steady, 10, 0.02)["stable"]
    assert steady.calls < 40


def test_warm_up_of_a_model_that_never_settles_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    call = _Clock(monkeypatch, lambda number: 0.001 * 1.02**number)
    found = timing.warm_up(call, 10, 0.1)
    assert not found["stable"]
    assert found["seconds"] < 1.5


def test_warm_up_of_a_slow_model_ends_at_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timing.warm_up(_Clock(monkeypatch, lambda number: 4.0), 10, 0.3)
    assert found["calls"] <= 10 + 2


def test_batch_is_one_where_the_timer_can_tell() -> None:
    assert timing.batch_for(_Counted(0.001), resolution_ns=100) == 1


def test_batch_grows_where_the_timer_can_not_tell() -> None:
    assert timing.batch_for(lambda: None, resolution_ns=1_000_000) > 100


def test_block_has_its_least_samples_and_seconds() -> None:
    found = timing.block(_Counted(0.001), batch=1, least=20, seconds=0.0, most_seconds=10)
    assert len(found["samples_ns"]) == 20
    assert all(sample >= 1_000_000 for sample in found["samples_ns"])
    longer = timing.block(_Counted(0.001), batch=1, least=1, seconds=0.05, most_seconds=10)
    assert longer["wall_ns"] >= 50_000_000
    assert 1 < len(longer["samples_ns"]) <= 50


def test_block_of_a_quick_model_stops_at_the_most_samples() -> None:
    assert len(timing.block(lambda: None, batch=1, least=1, seconds=60, most_seconds=60, most=500)["samples_ns"]) == 500


def test_block_of_a_slow_model_ends_after_three_samples() -> None:
    assert len(timing.block(_Counted(0.02), batch=1, least=20, seconds=1, most_seconds=0.01)["samples_ns"]) == 3


def test_block_calls_a_batch_per_sample() -> None:
    call = _Counted()
    found = timing.block(call, batch=10, least=5, seconds=0, most_seconds=10)
    assert found["batch"] == 10
    assert call.calls == 2 + 5 * 10
