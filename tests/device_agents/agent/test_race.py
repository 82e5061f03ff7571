"""The race's own rules, on a device that is made up: what is done again, how often, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from device_agents.agent import cpus, race
from device_agents.agent.crew import CANARY_PROCESSES, Crew, Variant
from device_agents.agent.handle import Failed, Handle
from device_agents.agent.race import MOST_AGAIN, Race

USUAL, SLOW = 1_000_000, 1_500_000


class _Worker:
    """A worker whose blocks take what the device says."""

    def __init__(self, device: _Device, variant: str) -> None:
        self._device = device
        self.variant = variant

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        if do == "block":
            self._device.blocks.append(self.variant)
            if self.variant in self._device.crash:
                raise Failed("it crashed")
            return {"samples_ns": [1], "batch": 1, "wall_ns": 1, "cpu_ns": self._device.cpu_ns}
        return {"calls": 1, "seconds": 0.0, "stable": True}

    def close(self) -> None: ...


class _Device:
    """A crew of variants (the canary model with them) on a device whose canary takes what `canary` says of its turn."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *names: str,
        canary: Callable[[int], int] = lambda turn: USUAL,
        **job: Any,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.blocks: list[str] = []
        self.opened: list[str] = []
        self.crash: set[str] = set()
        self.cpu_ns = 10**12  # more than a block takes: its core never stood idle
        self.turns = 0
        given = {
            "blocks": 2, "processes": 1, "threads": 1, "samples": 1, "block_seconds": 0, "block_limit_seconds": 1,
            "warmup_runs": 0, "warmup_seconds": 0, "time_limit_s": 600.0, "canary": {"name": "(canary)"},
            "variants": [{"name": name} for name in names], **job,
        }  # fmt: skip
        self.crew = Crew(given, "/", cast(Any, self), time.monotonic() + given["time_limit_s"])
        self.crew.cpus = [0]
        monkeypatch.setattr(self.crew, "open", lambda: _Worker(self, ""))
        monkeypatch.setattr(self.crew, "load", self._load)
        monkeypatch.setattr(race, "canary_ns", lambda: self._canary(canary))
        monkeypatch.setattr(cpus, "pin", lambda cores: False)
        monkeypatch.setattr(cpus, "busy_ticks", lambda sysroot: {0: (0, 0)})
        monkeypatch.setattr("device_agents.agent.race.time.sleep", lambda seconds: None)
        self.race = Race(self.crew, "/")
        self.race.calibrate()
        self.turns = 0

    def _canary(self, takes: Callable[[int], int]) -> int:
        self.turns += 1
        return takes(self.turns)

    def _load(self, handle: Handle, variant: Variant) -> dict[str, Any]:
        cast(Any, handle).variant = variant.name
        self.opened.append(variant.name)
        return {"providers": ["CPUExecutionProvider"], "load_ns": 1, "first_ns": 1, "versions": {}, "pinned": True}

    def write(self, kind: str, **fields: Any) -> None:
        self.events.append({"kind": kind, **fields})

    def told(self, kind: str = "block") -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


def test_blocks_are_interleaved_forwards_and_backwards_with_the_canary_model(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a", "b")
    device.race.run(0)
    assert device.blocks == ["a", "b", "(canary)", "(canary)", "b", "a"]
    assert all(event["kept"] and event["attempt"] == 0 for event in device.told())
    assert [event["position"] for event in device.told()] == [0, 1, 2, 0, 1, 2]


def test_who_is_loaded_first_changes_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a", "b")
    device.race.run(0)
    device.race.run(1)
    assert device.opened == ["a", "b", "(canary)", "(canary)", "b", "a"]


def test_canary_model_leaves_after_a_few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a")
    for process in range(CANARY_PROCESSES + 2):
        device.race.run(process)
    processes = [event["process"] for event in device.told() if event["name"] == "(canary)"]
    assert set(processes) == set(range(CANARY_PROCESSES))


def test_block_beside_a_slower_canary_is_done_again_until_it_is_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is slow after the first block alone: readings are before the round, then after each block."""
    device = _Device(monkeypatch, "a", canary=lambda turn: SLOW if turn == 2 else USUAL, blocks=1)
    device.crew._canary = None
    device.race.run(0)
    first, again = device.told()
    assert (first["kept"], first["attempt"], first["canary_ratio"]) == (False, 0, 1.5)
    assert (again["kept"], again["attempt"], again["canary_ratio"]) == (True, 1, 1.0)


def test_block_is_done_again_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a", canary=lambda turn: SLOW, blocks=1)
    device.crew._canary = None
    device.race = Race(device.crew, "/")
    for _ in range(20):
        device.race._usual.add(USUAL)
    device.race.run(0)
    assert [event["attempt"] for event in device.told()] == list(range(MOST_AGAIN + 1))
    assert [event["kept"] for event in device.told()] == [False] * MOST_AGAIN + [True]


def test_device_that_stays_slow_is_measured_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After four blocks that stayed slow, none is done again: the job would take four times as long for nothing."""
    device = _Device(monkeypatch, "a", canary=lambda turn: SLOW, blocks=20)
    device.crew._canary = None
    device.race = Race(device.crew, "/")
    for _ in range(200):
        device.race._usual.add(USUAL)
    device.race.run(0)
    later = [event for event in device.told() if event["round"] >= 4]
    assert all(event["attempt"] == 0 and event["kept"] for event in later)
    assert all(event["canary_ratio"] == 1.5 for event in later)


def test_blocks_are_not_done_again_in_the_last_half_of_a_jobs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a", canary=lambda turn: SLOW if turn % 2 == 0 else USUAL, blocks=3)
    device.crew._canary = None
    device.crew.deadline = time.monotonic() + 100.0  # of 600
    device.race.run(0)
    assert all(event["kept"] and event["attempt"] == 0 for event in device.told())


def test_block_in_which_the_core_stood_idle_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a", blocks=1)
    device.crew._canary = None
    device.cpu_ns = 0
    device.race.run(0)
    assert len(device.told()) == MOST_AGAIN + 1
    assert all(event["held"] == 1.0 for event in device.told())


@pytest.mark.parametrize("job", [{"threads": 4}, {}])
def test_idle_core_says_nothing_of_several_threads_or_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, job: dict[str, Any]
) -> None:
    device = _Device(monkeypatch, "a", blocks=1, **job)
    device.crew._canary = None
    device.cpu_ns = 0
    if not job:
        load = {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
        monkeypatch.setattr(device.crew, "load", lambda handle, variant: load)
    device.race.run(0)
    assert [event["held"] for event in device.told()] == [None]


def test_variant_that_fails_leaves_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a", "b")
    device.crash = {"a"}
    device.race.run(0)
    assert [event["name"] for event in device.told("failed")] == ["a"]
    assert [event["name"] for event in device.told()] == ["b", "(canary)", "(canary)", "b"]


def test_canary_model_alone_is_no_race(monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device(monkeypatch, "a")
    device.crash = {"a"}
    device.race.run(0)
    assert device.crew.racing(0) == []
