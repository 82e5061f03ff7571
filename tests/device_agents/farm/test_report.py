"""Reports on disk, and events turned into results."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.errors import AgentFailed
from device_agents.farm.job import Job, JobVariant, RemoteBundle
from device_agents.farm.report import Collector, Report, new_id


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


def test_event_of_a_later_agent_is_passed_over() -> None:
    found = Collector(_job())
    found.take({"kind": "something new", "name": "a"})
    assert found.results["a"]["error"] is None
