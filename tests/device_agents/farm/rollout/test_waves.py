"""The order of a rollout: the canary alone, then waves that together are all devices, each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.farm.rollout.waves import waves
from edgewright.errors import BadArgument

NAMES = [f"pi-{number}" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("plan", "sizes"),
    [
        ("1,25%,100%", [1, 1, 6]),
        ("100%", [1, 7]),
        ("1", [1, 7]),
        ("2,4", [1, 1, 2, 4]),
        ("10%, 50%", [1, 3, 4]),
        ("0,99", [1, 7]),
        ("30%", [1, 2, 5]),
    ],
)
def test_waves_say_how_many_have_it_by_then(plan: str, sizes: list[int]) -> None:
    found = waves(NAMES, plan)
    assert [len(wave) for wave in found] == sizes and [name for wave in found for name in wave] == NAMES


def test_canary_goes_first_and_alone() -> None:
    assert waves(["a", "b", "c"], "100%", "b") == [["b"], ["a", "c"]]
    assert waves(["a"]) == [["a"]]


@given(st.integers(1, 40), st.lists(st.integers(0, 60), min_size=1, max_size=5), st.data())
def test_every_device_is_in_one_wave(count: int, ends: list[int], data: st.DataObject) -> None:
    names = [str(number) for number in range(count)]
    canary = data.draw(st.sampled_from(names))
    found = waves(names, ",".join(map(str, sorted(ends))), canary)
    assert found[0] == [canary] and all(found)
    assert sorted(name for wave in found for name in wave) == sorted(names)


@pytest.mark.parametrize("plan", ["", "many", "1,,3", "-1", "50%,25%", "101%", "3,2", "1.5", "1;2", "9999999999"])
def test_waves_that_mean_nothing_are_refused(plan: str) -> None:
    with pytest.raises(BadArgument) as caught:
        waves(NAMES, plan)
    assert caught.value.where == "--waves" and caught.value.remedy


def test_devices_that_mean_nothing_are_refused() -> None:
    for devices, canary in (([], None), (["a", "a"], None), (["a"], "b")):
        with pytest.raises(BadArgument):
            waves(devices, "100%", canary)
