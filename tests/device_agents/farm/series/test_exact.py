"""Size and accuracy: any change is a change, for the worse or the better."""

from __future__ import annotations

import json

import pytest

from device_agents.farm.series import judge
from tests.device_agents.farm.series.nightly import series


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        ("size", [100.0, 100.0, 101.0], ("worse", True)),
        ("size", [100.0, 99.0], ("better", False)),
        ("accuracy", [0.92, 0.92, 0.9199], ("worse", True)),
        ("accuracy", [0.92, 0.93], ("better", False)),
        ("accuracy", [0.92, 0.92], ("same", False)),
        ("accuracy", [0.92, 0.0], ("worse", True)),
        ("accuracy", [0.0, 0.92], ("better", False)),
        ("accuracy", [0.92], ("undecided", False)),
    ],
)
def test_exact_metrics_are_judged_exactly(metric: str, values: list[float], said: tuple[str, bool]) -> None:
    (verdict,) = judge([series(values, metric)])
    assert (verdict.verdict, verdict.worse) == said
    json.dumps(verdict.to_json(), allow_nan=False)


def test_an_exact_change_is_found_on_its_night_and_has_no_width_and_no_p() -> None:
    (verdict,) = judge([series([100.0] * 5 + [110.0] * 2, "size", environment={5: {"bundle": "0f12" * 8}})])
    (change,) = verdict.changes
    assert (change.seq, change.found, change.nights, change.p) == (5, 5, 2, None)
    assert change.ratio.value == change.ratio.low == change.ratio.high == pytest.approx(1.1)
    assert verdict.reason == "10.0 % larger since report-5: the model changed (bundle 7abb7abb > 0f120f12)"


def test_an_exact_change_of_more_than_a_week_ago_is_the_level() -> None:
    (verdict,) = judge([series([100.0] * 5 + [110.0] * 8, "size")])
    assert (verdict.verdict, len(verdict.changes)) == ("same", 1)
    assert verdict.reason == "no change: the same for 8 nights"


def test_an_exact_metric_that_comes_and_goes_has_every_change() -> None:
    (verdict,) = judge([series([0.9, 0.8, 0.8, 0.9], "accuracy")])
    assert [(change.seq, change.worse, change.nights) for change in verdict.changes] == [(1, True, 2), (3, False, 1)]


def test_accuracy_over_other_samples_is_no_change_and_is_told() -> None:
    environment = {0: {"metric_name": "top-1", "metric_n": "10000"}, 3: {"metric_n": "100"}}
    (verdict,) = judge([series([0.93, 0.93, 0.93, 0.90], "accuracy", environment=environment)])
    assert verdict.changes == ()
    assert len(verdict.skipped) == 3 and "other samples" in verdict.skipped[0]
