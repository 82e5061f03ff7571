"""The gate before a job: what is waited for and how long, what isn't, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from device_agents.agent import cpus, gate

FINE: dict[str, Any] = {"throttled": 0, "temperature_c": 45.0, "thermal_status": None}


class _Device:
    """A device whose state and load are given look by look (the last one stays), on a clock that only waits move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: tuple[dict[str, Any], float | None]) -> None:
        self.said: list[tuple[str, float]] = []
        self.now = 0.0
        self.looks = 0
        self._looks = looks
        monkeypatch.setattr(gate, "state", lambda sysroot, root: self._look()[0])
        monkeypatch.setattr(gate, "others_share", self._others)
        monkeypatch.setattr("device_agents.agent.gate.time.monotonic", lambda: self.now)
        monkeypatch.setattr("device_agents.agent.gate.time.sleep", self._sleep)

    def _look(self) -> tuple[dict[str, Any], float | None]:
        return self._looks[min(self.looks, len(self._looks) - 1)]

    def _others(self, sysroot: str, cores: list[int]) -> float | None:
        found = self._look()[1]
        self.looks += 1
        return found

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, **job: Any) -> tuple[dict[str, Any], float, list[str]]:
        look = gate.look_here("/", "/", [0])
        return gate.wait_until_fit(job, look, lambda reason, seconds: self.said.append((reason, seconds)))


def _hot(celsius: float) -> dict[str, Any]:
    return FINE | {"temperature_c": celsius}


def test_fit_device_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, (FINE, 0.02))
    assert device.wait() == (FINE, 0.0, [])
    assert device.said == []


def test_hot_device_is_waited_for_until_it_is_cool(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, (_hot(88.0), 0.0), (_hot(84.0), 0.0), (_hot(79.0), 0.0))
    found, waited, problems = device.wait()
    assert (found["temperature_c"], problems) == (79.0, [])
    assert waited > 0
    assert "88.0 C, the limit is 80 C" in device.said[0][0]


def test_device_that_stays_hot_is_named_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, (_hot(70.0), 0.0))
    _, waited, problems = device.wait(max_temperature_c=60.0, cool_s=30.0)
    assert waited >= 30.0
    assert problems == ["it is too hot before the job: 70.0 C, the limit is 60 C"]


@pytest.mark.parametrize(
    ("state", "others", "said"),
    [
        (FINE | {"throttled": 0b0100}, 0.0, "throttling before the job"),
        (FINE | {"throttled": 0b0010}, 0.0, "capped clock before the job"),
        (FINE | {"thermal_status": 3}, 0.0, "the thermal status was 3 before the job"),
        (FINE, 0.8, "others took 80% of the chosen cores' time before the job"),
    ],
)
def test_what_may_pass_is_waited_for_a_shorter_while(
    monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], others: float, said: str
) -> None:
    passing = _Device(monkeypatch, (state, others), (FINE, 0.0))
    assert passing.wait()[2] == []
    staying = _Device(monkeypatch, (state, others))
    _, waited, problems = staying.wait(settle_s=10.0)
    assert problems == [said]
    assert 10.0 <= waited < 20.0


def test_undervoltage_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, (FINE | {"throttled": 0x50001}, 0.0))
    _, waited, problems = device.wait()
    assert (waited, problems) == (0.0, ["undervoltage before the job"])


def test_what_once_was_is_no_trouble_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _Device(monkeypatch, (FINE | {"throttled": 0x50000}, None)).wait()[2] == []


def test_device_that_tells_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _Device(monkeypatch, ({}, None)).wait()[2] == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(gate, "_LOOK_S", 0.01)
    yield


def test_share_of_others_is_one_of_a_whole_core(quick: None) -> None:
    found = gate.others_share("/", cpus.allowed())
    assert found is None or 0 <= found < 10  # a tick of 10 ms within a look of 10 ms
    assert gate.others_share("/", [10_000]) is None
