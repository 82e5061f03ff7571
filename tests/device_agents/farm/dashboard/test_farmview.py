"""The tables of the morning page: devices in trouble first, series worst first, comparisons and months newest first."""

from __future__ import annotations

from typing import Any

from device_agents.farm.dashboard.farmview import comparisons, health, month_links, months, series_rows
from device_agents.farm.ledger.entries import ReportEntry
from device_agents.farm.ledger.points import Key
from device_agents.farm.night.record import DeviceNight, Night
from device_agents.farm.series import judge
from tests.device_agents.farm.series.nightly import KEY, levels, series


def _entry(id: str, **fields: Any) -> ReportEntry:
    given: dict[str, Any] = dict.fromkeys(ReportEntry.__dataclass_fields__)
    given |= {"seq": 1, "id": id, "started": "2026-11-26T02:00:00Z", "finished": "", "model": "resnet8"}
    given |= {"target": "raspberry-pi", "device": "pi-1", "stand_in": False, "emulated": False, "valid": True}
    return ReportEntry(**given | {"purpose": "nightly", "variants": 2} | fields)


def _night(*devices: DeviceNight) -> Night:
    return Night(id="20261126T020000Z", started="2026-11-26T02:00:00Z", devices=devices)


def test_health_puts_trouble_first_and_says_who_holds_a_device_and_what_to_do() -> None:
    night = _night(
        DeviceNight(name="a", target="t", jobs=4, measured=4, seconds_busy=90.0),
        DeviceNight(name="z", target="t", state="reserved", problem="by ann until 12:00", remedy="./inv devices"),
        DeviceNight(name="y", target="t", state="died", problem="the link was lost", jobs=4, measured=1),
    )
    rows = health(night, [_entry("r-1", device="a")])
    assert [row["name"] for row in rows] == ["y", "z", "a"]
    assert rows[0]["state"] == "died in the night" and rows[0]["jobs"] == "1 of 4" and rows[0]["seen"] == "never"
    assert rows[1]["why"] == "by ann until 12:00" and rows[1]["remedy"] == "./inv devices"
    assert rows[2]["seen"] == "2026-11-26 02:00" and rows[2]["page"] == "reports/r-1.html"


def test_health_names_devices_that_only_the_ledger_knows_but_no_stand_in() -> None:
    entries = [_entry("r-1", device="old-pi"), _entry("r-2", device="this machine", stand_in=True)]
    rows = health(_night(), entries)
    assert [(row["name"], row["state"]) for row in rows] == [("old-pi", "not in this night")]
    assert [row["name"] for row in health(None, entries)] == ["old-pi"]


def test_health_takes_a_devices_newest_report() -> None:
    rows = health(None, [_entry("r-1"), _entry("r-2", started="2026-11-27T02:00:00Z")])
    assert rows[0]["page"] == "reports/r-2.html"


def test_series_rows_are_the_worst_first_with_a_line_each() -> None:
    other = Key(*[*list(vars(KEY).values())[:3], "pi-2", "litert", "int8"])
    both = [series(levels(40, 0, sd=0.002)), series(levels(30, 5, step=1.2, sd=0.002), key=other)]
    rows = series_rows(both, [one.to_json() for one in judge(both)])
    assert [row["verdict"] for row in rows] == ["slower", "same"]
    assert "slower [" in rows[0]["moved"] and rows[1]["moved"] == ""
    assert len(rows[0]["spark"].changes) == 1 and not rows[1]["spark"].changes
    assert rows[0]["said"].startswith("nights: 35, from ")


def test_series_rows_leave_out_other_metrics_that_are_the_same() -> None:
    one = series(levels(40, 0, sd=0.002))
    verdict = judge([one])[0].to_json()
    memory, worse = verdict | {"metric": "memory"}, verdict | {"metric": "size", "verdict": "worse", "worse": True}
    assert [row["metric"] for row in series_rows([one], [verdict, memory, worse])] == ["size", "latency"]


def test_comparisons_are_the_newest_few() -> None:
    entries = [_entry(f"r-{number}", purpose="compare") for number in range(5)] + [_entry("n-1")]
    assert [row["id"] for row in comparisons(entries, 2)] == ["r-4", "r-3"]


def test_months_hold_every_report_the_newest_first() -> None:
    entries = [_entry("a", started="2026-10-01T00:00:00Z"), _entry("b"), _entry("c"), _entry("d", started="?")]
    found = months(entries)
    assert {month: [row["id"] for row in rows] for month, rows in found.items()} == {
        "undated": ["d"],
        "2026-11": ["c", "b"],
        "2026-10": ["a"],
    }
    assert [link["reports"] for link in month_links(found)] == [1, 2, 1]
