"""A night in words."""

from __future__ import annotations

from device_agents.farm.night.out.telling import change, missing, sentence
from tests.device_agents.farm.night.out.nights import job, night, troubled, verdict


def test_quiet_night_says_same_or_faster() -> None:
    assert sentence(night()) == "Same or faster: 2 jobs measured on 2 devices; nothing got worse."
    assert missing(night()) == []


def test_regression_comes_first_and_what_is_missing_is_said_beside_it() -> None:
    said = sentence(troubled())
    assert said == "1 regression: 1 job measured on 2 devices, 3 things not."


def test_farm_trouble_is_told_from_a_regression() -> None:
    said = sentence(night(status=2, jobs=(job("pi-1"), job("pi-2", "skipped", problem="the deadline came"))))
    assert said == "Farm trouble: 1 job measured on 2 devices, 1 thing not; nothing that was measured got worse."


def test_night_without_an_end_never_says_that_all_is_well() -> None:
    assert sentence(night(finished=None, status=None)).startswith("Not finished")


def test_build_job_and_device_without_a_job_are_missing_once_each() -> None:
    assert [(one.what, one.device) for one in missing(troubled())] == [
        ("build", None),
        ("failed", "pi-2"),
        ("device", "pi-3"),
    ]


def test_job_that_says_nothing_is_given_a_reason() -> None:
    (one,) = missing(night(status=2, jobs=(job("pi-1", "running"),), devices=()))
    assert one.problem == "it was cut off"


def test_job_that_lost_a_variant_is_not_whole() -> None:
    (one,) = missing(night(jobs=(job("pi-1", problem="int8: out of memory"), job("pi-2"))))
    assert (one.what, one.problem) == ("measured", "int8: out of memory")


def test_change_is_in_percent_with_its_interval() -> None:
    assert change(verdict("slower")) == "+25.0 % [+20.0 % +30.0 %]"
    assert change(verdict("worse", ratio={"value": 1.5, "low": 1.5, "high": 1.5})) == "+50.0 %"
    assert change(verdict("better", ratio={"value": None, "low": None, "high": None})) == "-"
    assert change(verdict()) == "-"
