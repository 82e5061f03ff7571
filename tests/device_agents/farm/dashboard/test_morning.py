"""The first screen: the night in one sentence, the worst first, and nothing that was not measured left unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.farm.dashboard.morning import missing_of, nights_of, rank, regressions_of, status_of
from device_agents.farm.dashboard.names import series_file
from device_agents.farm.night.record import Build, JobNight, Night
from device_agents.farm.series import judge
from tests.device_agents.farm.series.nightly import KEY, levels, series


def _night(*states: Any, **fields: Any) -> Night:
    jobs = tuple(
        JobNight(id=f"job-{place}", device=f"pi-{place}", target="raspberry-pi", model="resnet8", state=state)
        for place, state in enumerate(states)
    )
    given: dict[str, Any] = {"id": "20261126T020000Z", "started": "2026-11-26T02:00:00Z", "status": 0}
    return Night(**given | {"finished": "2026-11-26T03:00:00Z", "jobs": jobs} | fields)


def _slower(**how: Any) -> dict[str, Any]:
    (verdict,) = judge([series(levels(30, 5, step=1.1, sd=0.002), **how)])
    return verdict.to_json()


@pytest.mark.parametrize(
    ("night", "word", "said"),
    [
        (_night("measured", "known"), "all well", "No regression. All that was wanted was measured: 2 jobs."),
        (_night("measured", "failed"), "farm trouble", "No regression, but 1 of 2 jobs was not measured."),
        (_night("skipped", "failed"), "farm trouble", "No regression, but 2 of 2 jobs were not measured."),
        (
            _night("measured", builds=(Build(model="m", target="t", state="failed"),)),
            "farm trouble",
            "No regression, but 1 build failed.",
        ),
        (_night("measured", verdicts=({},), regressions=(0,)), "regression", "1 regression."),
        (
            _night("measured", "failed", verdicts=({}, {}), regressions=(0, 1)),
            "regression",
            "2 regressions, and 1 of 2 jobs was not measured.",
        ),
        (_night("measured", "running", finished=None), "not finished", "1 of 2 jobs done."),
    ],
)
def test_status_of_says_it_in_one_sentence(night: Night, word: str, said: str) -> None:
    status = status_of(night)
    assert status.word == word
    assert status.sentence.startswith(said)


def test_regressions_of_tells_size_since_when_and_whom_to_blame() -> None:
    verdict = _slower(environment={30: {"bundle": "0f12" * 8}})
    night = _night("measured", verdicts=(verdict,), regressions=(0,))
    (one,) = regressions_of(night, (), {"report-30": "2026-11-21T02:00:00Z"}, {KEY})
    assert "slower [" in one["moved"]
    assert one["since"] == "2026-11-21 02:00" and one["since_page"] == "reports/report-30.html"
    assert one["causes"].startswith("the model (bundle ")
    assert one["nights"] == 5
    assert one["page"] == series_file(KEY)


def test_regressions_of_a_report_that_the_ledger_lacks_has_no_dead_link() -> None:
    (one,) = regressions_of(_night("measured", verdicts=(_slower(),), regressions=(0,)), (), {}, ())
    assert one["since"] == "report-30" and one["since_page"] == one["page"] == ""


def test_regressions_of_no_night_are_the_ledgers_but_for_those_of_a_device() -> None:
    model = _slower(environment={30: {"bundle": "0f12" * 8}})
    device = _slower(canary=levels(30, 5, step=1.1, sd=0.001))
    assert [one["causes"][:9] for one in regressions_of(None, [device, model], {}, ())] == ["the model"]


def test_rank_puts_the_worst_first() -> None:
    model, device = _slower(environment={30: {"bundle": "0f12" * 8}}), _slower(canary=levels(30, 5, 1.1, 0.001))
    larger = model | {"ratio": {"value": 1.4, "low": 1.3, "high": 1.5}}
    endless = model | {"ratio": {"value": None, "low": None, "high": None}}
    (same,) = (one.to_json() for one in judge([series(levels(40, 0, sd=0.002))]))
    undecided = same | {"verdict": "undecided", "ratio": None}
    better = same | {"verdict": "faster"}
    expected = [endless, larger, model, device, undecided, better, same]
    assert sorted([same, better, undecided, device, model, larger, endless], key=rank) == expected


def test_missing_of_lists_builds_then_jobs_with_reason_and_next_step() -> None:
    night = _night(
        builds=(
            Build(model="m", target="t", state="failed", problem="no room", remedy="./inv store.prune"),
            Build(model="n", target="t", state="cached"),
        ),
        jobs=(
            JobNight(id="a", device="pi-1", target="t", model="m", state="skipped", problem="reserved by ann"),
            JobNight(id="b", device="pi-2", target="t", model="m", state="failed", problem="the link was lost"),
            JobNight(id="c", device="pi-3", target="t", model="m", state="invalid", report="r-1"),
            JobNight(id="d", device="pi-4", target="t", model="m", state="measured"),
        ),
    )
    rows = missing_of(night, {"r-1": "2026-11-26T02:00:00Z"})
    assert [row["what"] for row in rows] == ["build of m for t", "m on pi-2", "m on pi-3", "m on pi-1"]
    assert (rows[0]["why"], rows[0]["remedy"]) == ("no room", "./inv store.prune")
    assert (rows[2]["why"], rows[2]["page"]) == ("no reason was given", "reports/r-1.html")
    assert missing_of(night, {})[2]["page"] == ""


def test_nights_of_lists_the_newest_first() -> None:
    rows = nights_of([_night("measured", started="2026-11-25T02:00:00Z"), _night("failed")])
    assert [row["day"] for row in rows] == ["2026-11-26 02:00", "2026-11-25 02:00"]
    assert [row["jobs"] for row in rows] == ["0 of 1", "1 of 1"]
