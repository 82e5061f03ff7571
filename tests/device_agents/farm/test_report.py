"""Reports on disk, and events turned into results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.errors import AgentFailed
from device_agents.farm.job import Job, JobVariant, RemoteBundle
from device_agents.farm.report import Collector, Report, energy_mj, new_id


def _job() -> Job:
    return Job(model="m", target="t", variants=[JobVariant(name="a", bundle=RemoteBundle(digest="0" * 64, path="/x"))])


def test_names_of_reports_fit_any_file_system_and_sort_by_time() -> None:
    first = new_id("2026-01-02T03:04:05Z", "../../my model\n$(x)", "raspberry-pi")
    assert first.startswith("20260102T030405Z-my-model-x-raspberry-pi-")
    assert "/" not in first
    assert new_id("2026-01-02T03:04:05Z", "m", "t") != new_id("2026-01-02T03:04:05Z", "m", "t")
    assert new_id("2026-01-02T03:04:06Z", "", "") > first


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other"}', '{"schema": "edgewright-report/1"}', "\x00"])
def test_file_that_is_no_report_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(AgentFailed, match="no report"):
        Report.read(tmp_path / "r.json")
    with pytest.raises(AgentFailed):
        Report.read(tmp_path / "missing.json")


def test_share_of_others_is_taken_over_the_whole_job() -> None:
    found = Collector(_job())
    block = {"kind": "block", "name": "a", "process": 0, "position": 0, "samples_ns": [1], "batch": 1, "wall_ns": 1}
    for number, others in enumerate((-10, 60, 10)):  # one block's figure may be negative by a tick
        found.take({**block, "round": number, "others_ns": others, "watched_ns": 100})
    assert [one["others_cpu_share"] for one in found.results["a"]["blocks"]] == [0.0, 0.6, 0.1]
    assert found.others_cpu_share() == 0.2


def test_share_of_others_is_unknown_where_nothing_was_watched() -> None:
    found = Collector(_job())
    block = {"kind": "block", "name": "a", "process": 0, "position": 0, "samples_ns": [1], "batch": 1, "round": 0}
    found.take({**block, "others_ns": None, "watched_ns": 100})
    assert found.results["a"]["blocks"][0]["others_cpu_share"] is None
    assert found.others_cpu_share() is None


def _section(energy: dict[str, float] | None) -> dict[str, Any]:
    return {"energy": energy, "calls": 10}


def test_energy_is_what_an_inference_takes_above_the_idle_board() -> None:
    sections = [
        _section({"mj": 1100.0, "seconds": 0.1, "samples": 5}),
        _section({"mj": 1200.0, "seconds": 0.1, "samples": 5}),
        _section({"mj": 9000.0, "seconds": 0.1, "samples": 5}),
        _section(None),
    ]
    assert energy_mj(sections, 1000.0) == 110.0  # (1200 mJ - 1000 mW * 0.1 s) / 10 calls
    assert energy_mj(sections, None) is None
    assert energy_mj([_section(None)], 1000.0) is None


def test_energy_reaches_the_result() -> None:
    found = Collector(_job())
    found.take({"kind": "start", "facts": {}, "state": {}, "agent": "1", "cpus": [0], "idle_mw": 500.0})
    energy = {"mj": 60.0, "seconds": 0.1, "samples": 4}
    found.take({"kind": "energy", "name": "a", "calls": 2, "energy": energy})
    assert found.results["a"]["energy_mj"] == 5.0
    assert found.results["a"]["energy"] == [{"calls": 2, "energy": energy}]


def test_report_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    old: dict[str, Any] = {
        name: {} for name in ("device", "agent", "runtime", "facts", "state_before", "state_after", "job")
    }
    old |= {name: [] for name in ("problems", "warnings", "results", "canary")}
    old |= dict.fromkeys(("id", "started", "finished", "model", "target"), "")
    (tmp_path / "r.json").write_text(json.dumps({**old, "schema": "edgewright-report/1", "valid": True}))
    found = Report.read(tmp_path / "r.json")
    assert (found.runtimes, found.idle_mw) == ([], None)


def test_event_of_a_later_agent_is_passed_over() -> None:
    found = Collector(_job())
    found.take({"kind": "something new", "name": "a"})
    assert found.results["a"]["error"] is None
