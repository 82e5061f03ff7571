"""Reports on disk, and events turned into results."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.errors import AgentFailed
from device_agents.farm.job import CANARY, Job, JobVariant, RemoteBundle
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


def _begun(job: Job | None = None) -> Collector:
    found = Collector(job or _job())
    assert found.take({"kind": "start", "facts": {}, "state": {}, "agent": "1", "cpus": [0], "idle_mw": 500.0})
    return found


def _block(**changes: Any) -> dict[str, Any]:
    whole = {"kind": "block", "name": "a", "process": 0, "round": 0, "position": 0, "samples_ns": [1], "batch": 1}
    return {**whole, "others_ns": None, "watched_ns": 100, **changes}


def test_share_of_others_is_taken_over_the_whole_job() -> None:
    found = _begun()
    for number, others in enumerate((-10, 60, 10)):  # one block's figure may be negative by a tick
        assert found.take(_block(round=number, others_ns=others))
    assert [one["others_cpu_share"] for one in found.results["a"]["blocks"]] == [0.0, 0.6, 0.1]
    assert found.others_cpu_share() == 0.2


def test_share_of_others_is_unknown_where_nothing_was_watched() -> None:
    found = _begun()
    assert found.take(_block())
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
    found = _begun()
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
    assert (found.purpose, found.commit, found.canary_model) == ("deploy", None, None)


def test_discarded_blocks_are_kept_apart_and_count_for_nothing() -> None:
    found = _begun()
    assert found.take(_block(others_ns=90, kept=False, attempt=0, canary_ratio=2.5))
    assert found.take(_block(others_ns=10, kept=True, attempt=1, canary_ratio=1.1))
    (result,) = found.results.values()
    assert [(one["attempt"], one["canary_ratio"]) for one in result["redone"]] == [(0, 2.5)]
    assert [(one["attempt"], one["canary_ratio"]) for one in result["blocks"]] == [(1, 1.1)]
    assert found.others_cpu_share() == 0.1


def test_every_memory_pass_is_kept_and_the_largest_is_the_peak() -> None:
    found = _begun()
    for peak, base in ((300, 100), (500, 120), (400, 110)):
        assert found.take({"kind": "memory", "name": "a", "peak_bytes": peak, "base_bytes": base})
    (result,) = found.results.values()
    assert (result["peaks"], result["peak_bytes"], result["base_bytes"]) == ([300, 500, 400], 500, 110)


def test_warm_ups_are_kept() -> None:
    found = _begun()
    assert found.take({"kind": "warmed", "name": "a", "process": 1, "calls": 9, "seconds": 0.5, "stable": False})
    assert found.results["a"]["warmups"] == [{"process": 1, "calls": 9, "seconds": 0.5, "stable": False}]


def test_canary_model_is_no_result_and_not_counted_among_the_others() -> None:
    job = _job()
    found = _begun(job.model_copy(update={"canary": job.variants[0].model_copy(update={"name": CANARY})}))
    assert found.take(_block(name=CANARY, others_ns=90, position=1))
    assert found.take(_block(others_ns=10))
    assert list(found.results) == ["a"]
    assert found.canary_model is not None
    assert found.canary_model["name"] == CANARY and len(found.canary_model["blocks"]) == 1
    assert found.others_cpu_share() == 0.1


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([_block(), _block()], id="one block twice"),
        pytest.param([_block(kept=False), _block(kept=False)], id="one attempt twice"),
        pytest.param([_block(process=3)], id="a process that nobody asked for"),
        pytest.param([_block(round=8)], id="a round that nobody asked for"),
        pytest.param([_block(position=2)], id="a place that the round doesn't have"),
        pytest.param([{"kind": "failed", "name": "a", "message": "x"}, _block()], id="after it had left the race"),
        pytest.param([{"kind": "start"}], id="a second start"),
    ],
)
def test_event_out_of_turn_is_left_out(events: list[dict[str, Any]]) -> None:
    found = _begun()
    *before, last = events
    assert all(found.take(event) for event in before)
    kept = copy.deepcopy(found.results)
    assert not found.take(last)
    assert found.results == kept


def test_nothing_is_measured_before_the_start() -> None:
    found = Collector(_job())
    assert not found.take(_block())
    assert not found.take({"kind": "canary", "process": 0, "round": 0, "when": "before", "ns": 5})
    assert found.results["a"]["blocks"] == found.canary == []


def test_processes_that_the_host_granted_are_taken() -> None:
    found = _begun()
    assert not found.take(_block(process=4))
    found.granted = 2
    assert found.take(_block(process=4))
    assert not found.take(_block(process=5))
