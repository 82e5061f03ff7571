"""What makes a night red: a model that got worse, and not a device that got slower as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.points import Key
from device_agents.farm.series.verdict import Cause, Change, ChangePoint, SeriesVerdict, What
from pipeline.nightly.judging import is_regression, judged, of_reports
from tests.pipeline.test_nights import nights

KEY = Key("m", "trained", "t", "pi", "litert", "float32")
RATIO = Change(1.5, 1.4, 1.6)


def verdict(worse: bool, cause: What | None, report: str = "r") -> SeriesVerdict:
    point = () if cause is None else (ChangePoint(9, report, 10, 2, RATIO, worse, 1e-6, (Cause(cause),)),)
    return SeriesVerdict(KEY, "latency", "slower" if worse else "same", worse, RATIO, "why", 10, report, 16, point)


@pytest.mark.parametrize(
    ("worse", "cause", "regression"),
    [(True, "model", True), (True, "runtime", True), (True, "unknown", True), (True, None, True),
     (True, "device", False), (False, "model", False)],
)  # fmt: skip
def test_only_what_got_worse_by_other_than_the_device(worse: bool, cause: What | None, regression: bool) -> None:
    assert is_regression(verdict(worse, cause)) is regression


def test_night_is_told_only_of_the_series_that_it_added_to() -> None:
    several = [verdict(True, "model", "a"), verdict(True, "model", "b"), verdict(False, None, "a")]
    assert of_reports(several, {"a"}) == [several[0], several[2]]


def test_ledger_is_judged_over_deploys_and_nights_alone(state: Path) -> None:
    odd = nights([9.0] * 3)
    for report in odd:
        report.purpose = "bench"
    with Ledger.open(None, state) as ledger:
        ledger.append_all([*nights([2.0] * 14 + [3.0] * 2), *odd])
        found = {one.metric: one for one in judged(ledger)}
    assert found["latency"].nights == 16
    assert is_regression(found["latency"]) and not is_regression(found["accuracy"])
