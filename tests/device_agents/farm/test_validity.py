"""What makes a report invalid, and what only makes it less sure; each rule from either side."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.farm.validity import canary_findings, change_problems, judge, others_findings, throttle_problems


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
