"""A series' page: verdicts, charts and the table of every night say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from device_agents.farm.dashboard.seriesview import causes_text, moved_text, series_view
from device_agents.farm.ledger.points import Series
from device_agents.farm.series import judge
from tests.device_agents.farm.series.nightly import levels, series


def _view(one: Series) -> dict[str, Any]:
    return series_view(one, one, [found.to_json() for found in judge([one])])


def test_series_view_lists_a_change_with_its_night_size_and_cause_and_marks_the_row() -> None:
    view = _view(series(levels(30, 8, step=1.1, sd=0.002), environment={30: {"bundle": "0f12" * 8}}))
    (metric,) = view["metrics"]
    (change,) = metric["changes"]
    assert change["report"] == "report-30" and change["page"] == "reports/report-30.html"
    assert change["worse"] and "slower [" in change["moved"] and change["causes"].startswith("the model (bundle ")
    assert len(metric["chart"].changes) == 1
    assert len(view["rows"]) == 38
    assert [row["page"] for row in view["rows"] if row["changed"]] == ["reports/report-30.html"]
    assert metric["said"].startswith("38 nights between ") and metric["said"].endswith(", 1 change of level")


def test_series_view_of_an_accuracy_takes_its_name_and_says_what_was_left_out() -> None:
    one = series(
        [0.93] * 3, "accuracy", environment={0: {"metric_name": "top-1", "metric_n": "16"}, 1: {"metric_n": "99"}}
    )
    (metric,) = _view(one)["metrics"]
    assert metric["title"] == "top-1" and metric["newest"] == "93.0 %"
    assert len(metric["skipped"]) == 1 and "other samples" in metric["skipped"][0]


def test_series_view_of_a_single_night_has_a_chart_and_no_change() -> None:
    (metric,) = _view(series([1e6]))["metrics"]
    assert metric["chart"].line.endswith("h4") and metric["changes"] == [] and metric["verdict"] == "undecided"


def test_series_view_shows_a_metric_none_of_whose_nights_can_be_judged() -> None:
    view = _view(series([float("inf")]))
    (metric,) = view["metrics"]
    assert metric["chart"] is None and metric["newest"] == "-" and metric["said"] == "no night"
    assert len(view["rows"]) == 1


def test_series_view_shows_nights_of_another_board_in_the_table_alone() -> None:
    whole = series(levels(6, 0))
    view = series_view(whole, replace(whole, points=whole.points[3:]), [one.to_json() for one in judge([whole])])
    assert [row["changed"] for row in view["rows"]] == [""] * 3 + ["another board, in no chart"] * 3
    assert view["metrics"][0]["nights"] == 3


def test_moved_text_of_a_rise_from_nothing_is_said_in_words() -> None:
    assert "infinitely" in moved_text("accuracy", {"ratio": {"value": None, "low": None, "high": None}})
    assert moved_text("accuracy", {"ratio": None}) == ""


def test_causes_text_names_all_of_them() -> None:
    causes = [{"what": "kernel", "how": "kernel 6.1 > 6.2"}, {"what": "unknown", "how": ""}]
    assert causes_text({"causes": causes}) == ("the kernel or firmware (kernel 6.1 > 6.2), or nothing that is known of")
