"""What makes a report invalid, and what only makes it less sure; each rule from either side."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.farm.validity import (
    canary_findings,
    change_problems,
    comparable,
    drift_warnings,
    held_findings,
    judge,
    others_findings,
    thermal_findings,
    throttle_problems,
    unsteady_findings,
)
from targets.schema import Sensors


def _canary(*times: float) -> list[dict[str, Any]]:
    return [{"process": 0, "round": 0, "when": "before", "ns": int(time * 1e6)} for time in times]


def _result(name: str = "a", samples: int = 5, error: str | None = None) -> dict[str, Any]:
    return {"name": name, "blocks": [{"samples_ns": [1] * samples}], "error": error}


GOOD = {"governor": "performance", "freq_khz": 1, "temperature_c": 40.0, "throttled": 0, "boot_id": "x"}


def test_steady_device_is_valid_without_a_word() -> None:
    assert judge(GOOD, GOOD, _canary(5, 5.2, 5.1, 5), [_result()], 0.01, True) == ([], [])


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (0, 0, 0),
        (None, None, 0),
        (0x50000, 0x50000, 0),
        (0x50005, 0x50005, 4),
        (0, 0x1, 1),
        (0, 0x80000, 1),
        (0x10000, 0x50000, 1),
        (0x10000, 0x50004, 2),
        (None, 0x50000, 0),
    ],
)
def test_throttle_bits_now_or_newly_set_are_problems(before: int | None, after: int | None, count: int) -> None:
    assert len(throttle_problems({"throttled": before}, {"throttled": after})) == count


def test_changed_governor_or_boot_is_a_problem() -> None:
    assert change_problems({"governor": "a", "boot_id": "x"}, {"governor": "b", "boot_id": "y"}) == [
        "the frequency governor changed in the job (a > b)",
        "the device restarted in the job",
    ]
    assert change_problems({"governor": None, "boot_id": "x"}, {"governor": "b", "boot_id": "x"}) == []


@pytest.mark.parametrize(
    ("times", "problems", "warnings"),
    [
        ([5] * 20, 0, 0),
        ([5] * 10 + [7.4] * 10, 0, 0),
        ([5] * 19 + [9], 0, 1),
        ([5] * 10 + [9] * 2 + [5] * 8, 0, 1),
        ([5] * 10 + [9] * 10, 1, 0),
        ([9] * 10 + [5] * 10, 1, 0),
        ([5] * 8 + [9] * 4 + [5] * 8, 1, 0),
        ([5] * 44 + [9] * 4, 0, 1),
        ([], 0, 0),
        ([5], 0, 0),
    ],
)
def test_canary_that_stays_slow_is_a_problem_and_a_passing_one_a_warning(
    times: list[float], problems: int, warnings: int
) -> None:
    found = canary_findings(_canary(*times))
    assert (len(found[0]), len(found[1])) == (problems, warnings)


@pytest.mark.parametrize(
    ("share", "problems", "warnings"), [(0.0, 0, 0), (0.09, 0, 0), (0.1, 0, 1), (0.5, 0, 1), (0.51, 1, 0), (None, 0, 1)]
)
def test_cores_taken_by_others_are_judged_by_their_share(share: float | None, problems: int, warnings: int) -> None:
    found = others_findings(share)
    assert (len(found[0]), len(found[1])) == (problems, warnings)


def test_variant_without_samples_makes_the_report_invalid() -> None:
    problems, _ = judge(GOOD, GOOD, [], [_result(), _result("b", 0, "it crashed")], 0.0, True)
    assert problems == ["b has no samples: it crashed"]


def test_variant_that_failed_later_is_a_warning() -> None:
    problems, warnings = judge(GOOD, GOOD, [], [_result(error="no accuracy")], 0.0, True)
    assert problems == []
    assert warnings == ["a: no accuracy"]


def test_missing_sensors_and_pinning_are_warnings() -> None:
    problems, warnings = judge({}, {}, [], [_result()], 0.0, False)
    assert problems == []
    assert len(warnings) == 2
    assert "temperature_c" in warnings[0]


PI = Sensors(throttling="vcgencmd", temperature="thermal-zone")
JETSON = Sensors(temperature="tegrastats", power="ina3221", power_mode="nvpmodel")


def test_changed_power_mode_or_clocks_are_problems() -> None:
    before = {"power_mode": "25W", "clocks_locked": True}
    assert change_problems(before, {"power_mode": "15W", "clocks_locked": False}) == [
        "the power mode changed in the job (25W > 15W)",
        "the clocks were unlocked in the job",
    ]
    assert change_problems({"clocks_locked": False}, {"clocks_locked": True}) == ["the clocks were locked in the job"]
    assert change_problems(before, {"power_mode": None}) == []


@pytest.mark.parametrize(
    ("before", "after", "problems", "warnings"),
    [(0, 0, 0, 0), (None, None, 0, 0), (1, 0, 0, 1), (0, 2, 1, 0), (3, 2, 2, 0), (1, 6, 1, 1), (None, 4, 1, 0)],
)
def test_thermal_status_from_moderate_on_is_a_problem(
    before: int | None, after: int | None, problems: int, warnings: int
) -> None:
    found = thermal_findings({"thermal_status": before}, {"thermal_status": after})
    assert (len(found[0]), len(found[1])) == (problems, warnings)
    if after == 2:
        assert found[0][-1] == "the thermal status was moderate after the job"


def test_capped_clock_and_swapping_in_the_job_are_warnings() -> None:
    before = {"max_freq_khz": 2400000, "swap_used_bytes": 0}
    assert drift_warnings(before, {"max_freq_khz": 1800000, "swap_used_bytes": 50_000_000}) == [
        "the highest clock allowed changed in the job (2400 > 1800 MHz)",
        "50 MB of memory were swapped out in the job",
    ]
    assert drift_warnings(before, before | {"swap_used_bytes": 4096}) == []
    assert drift_warnings({}, before) == []


def test_garbled_sensors_of_either_end_are_a_warning() -> None:
    before, after = GOOD | {"garbled": ["tegrastats"]}, GOOD | {"garbled": ["loadavg", "tegrastats"]}
    problems, warnings = judge(before, after, [], [_result()], 0.0, True)
    assert problems == []
    assert warnings == ["sensors of this device that gave no reading: loadavg, tegrastats"]


def test_sensor_that_the_target_promises_and_the_device_lacks_is_a_warning() -> None:
    before = GOOD | {"throttled": None, "sources": {"throttling": [], "temperature": ["vcgencmd"]}}
    _, warnings = judge(before, before, [], [_result()], 0.0, True, sensors=PI, target="raspberry-pi")
    assert warnings == ["raspberry-pi should tell its throttling by vcgencmd, this device doesn't"]


def test_sensor_that_tells_is_not_missed_and_the_rest_is_not_asked_for() -> None:
    before = GOOD | {
        "throttled": None,
        "sources": {"temperature": ["thermal-zone"], "power": ["tegrastats"], "power_mode": ["nvpmodel"]},
    }
    assert judge(before, before, [], [_result()], 0.0, True, sensors=JETSON, target="jetson") == ([], [])


def test_board_whose_rails_are_no_total_is_told_why() -> None:
    before = GOOD | {
        "rails_mw": {"VDD_GPU_SOC": 1.0, "VDD_CPU_CV": 2.0},
        "sources": {"temperature": ["tegrastats"], "power": [], "power_mode": ["nvpmodel"]},
    }
    _, warnings = judge(before, before, [], [_result()], 0.0, True, sensors=JETSON, target="jetson")
    said = "jetson should tell its power by ina3221, this device doesn't: "
    assert warnings == [said + "its rails (VDD_GPU_SOC, VDD_CPU_CV) don't add up to the whole"]


def test_emulated_device_is_judged_by_its_answers_alone() -> None:
    slow = [{"process": 0, "round": 0, "when": "before", "ns": ns} for ns in (1, 1, 1, 9, 9, 9, 9)]
    answered = {**_result(), "accuracy": {"n": 64}, "blocks": []}
    how: dict[str, Any] = {"sensors": PI, "target": "raspberry-pi", "emulated": True}
    assert judge({}, {}, slow, [answered], 0.9, False, **how) == ([], [])
    mute = {**answered, "accuracy": None, "error": "it crashed"}
    assert judge({}, {}, slow, [mute], 0.9, False, **how)[0] == [f"{mute['name']} gave no answers: it crashed"]
    restarted = judge({"boot_id": "a"}, {"boot_id": "b"}, [], [answered], 0.0, True, **how)
    assert restarted[0] == ["the device restarted in the job"]


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({}, {}, None),
        ({"power_mode": "25W", "governor": "schedutil"}, {"power_mode": "25W", "governor": "schedutil"}, None),
        ({"power_mode": "25W"}, {"power_mode": None}, None),
        ({"power_mode": "25W"}, {"power_mode": "15W"}, "different power modes: 25W and 15W"),
        (
            {"clocks_locked": True},
            {"clocks_locked": False},
            "the clocks were locked for one and free for the other",
        ),
        ({"governor": "a"}, {"governor": "b"}, "different frequency governors: a and b"),
        ({"max_freq_khz": 1800000}, {"max_freq_khz": 2400000}, "different highest clocks: 1800 and 2400 MHz"),
    ],
)
def test_states_are_comparable_unless_power_mode_or_clocks_differ(
    one: dict[str, Any], other: dict[str, Any], reason: str | None
) -> None:
    assert comparable(one, other) == reason


def _blocks(**field: list[float | None]) -> list[dict[str, Any]]:
    ((key, values),) = field.items()
    return [{"name": "a", "blocks": [{"samples_ns": [1], key: value} for value in values], "error": None}]


@pytest.mark.parametrize(
    ("ratios", "problems", "warnings"),
    [
        ([1.0] * 20, 0, 0),
        ([1.0] * 19 + [1.3], 0, 0),
        ([1.0] * 15 + [1.3] * 5, 0, 1),
        ([1.0] * 5 + [1.3] * 15, 1, 0),
        ([None] * 20, 0, 0),
        ([1.09] * 20, 0, 0),
    ],
)
def test_blocks_that_stayed_beside_a_slower_canary(ratios: list[float | None], problems: int, warnings: int) -> None:
    found = unsteady_findings(_blocks(canary_ratio=ratios))
    assert (len(found[0]), len(found[1])) == (problems, warnings)


@pytest.mark.parametrize(
    ("shares", "problems", "warnings"),
    [([0.01] * 8, 0, 0), ([0.0, 0.3], 0, 1), ([0.5] * 8, 1, 0), ([None] * 8, 0, 0), ([], 0, 0)],
)
def test_cores_that_stood_idle_in_blocks(shares: list[float | None], problems: int, warnings: int) -> None:
    found = held_findings(_blocks(held=shares))
    assert (len(found[0]), len(found[1])) == (problems, warnings)
    assert all("held back" in text for text in [*found[0], *found[1]])


def test_device_that_holds_a_job_back_makes_its_report_invalid() -> None:
    results = _blocks(held=[0.5] * 8)
    problems, _ = judge(GOOD, GOOD, _canary(5, 5), results, 0.01, True)
    assert problems and "the model can't be told from that" in problems[0]
