"""Evidence: which reports count, up to when, and what is taken out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.bundle import Bundle
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.paired import latency
from device_agents.farm.report import Report
from pipeline.release.evidence import Evidence, gather
from tests.device_agents.farm.ledger import made
from tests.pipeline.release import accepted

ATTIC = {"name": "attic-pi", "stand_in": False, "emulated": False}
DOUBLE = {"name": "double", "stand_in": False, "emulated": True}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return accepted.bundle(tmp_path)


def gathered(state: Path, bundle: Bundle, *reports: Report, on: str | None = None, metric: str = "top-1") -> Evidence:
    with Ledger.open(None, state) as ledger:
        ledger.append_all(reports)
        of = bundle.manifest
        ledger.accept(model=of.model, target=of.target, variant="tiny", bundle=bundle.digest, who="me", report=on)
        found = ledger.accepted(of.model, of.target)
        assert found is not None
        return gather(ledger, found, metric)


def test_best_and_newest_report_of_each_device_counts(state: Path, bundle: Bundle) -> None:
    reports = [
        accepted.report(bundle, commit="a" * 40),
        accepted.report(bundle, commit="b" * 40),
        accepted.report(bundle, valid=False, problems=["it\nthrottled"]),
        accepted.report(bundle, device=accepted.DESK),
        accepted.report(bundle, device=DOUBLE),
        accepted.report(bundle, device=ATTIC, valid=False, problems=["busy"]),
        made.report(model="tiny", target="raspberry-pi"),  # of another bundle
    ]
    found = gathered(state, bundle, *reports, on=reports[-1].id)
    told = [(one.device, one.worth, one.report, one.reports) for one in found.devices]
    assert told == [
        ("kitchen-pi", "valid", reports[1].id, 3),
        ("this machine", "standing in", reports[3].id, 1),
        ("attic-pi", "invalid", reports[5].id, 1),
        ("double", "emulated", reports[4].id, 1),
    ]
    assert not found.unmeasured and found.commit == "b" * 40
    assert found.devices[2].problems == ("busy",)
    assert found.devices[3].p50_ms is None and found.devices[3].metric is None


def test_only_what_was_there_when_it_was_accepted_counts(state: Path, bundle: Bundle) -> None:
    first, later = accepted.report(bundle), accepted.report(bundle, device=ATTIC)
    found = gathered(state, bundle, first, later, on=first.id)
    assert [one.device for one in found.devices] == ["kitchen-pi"]
    unnamed = gathered(state, bundle, accepted.report(bundle, device=accepted.DESK, finished="9999-01-01T00:00:00Z"))
    assert [one.device for one in unnamed.devices] == ["attic-pi", "kitchen-pi"]


def test_figures_are_the_reports(state: Path, bundle: Bundle) -> None:
    report = accepted.report(bundle)
    runtime = {"name": "litert", "version": "2.3.0", "numpy": "2.4.6"}
    result = report.results[0] | {"runtime": runtime, "energy_mj": 1.23456789, "peak_bytes": 4096}
    result["accuracy"] = {"name": "top-1", "value": 0.912345, "n": 1000, "outputs_sha256": "0" * 64}
    report.results[0] = result
    (one,) = gathered(state, bundle, report, on=report.id).devices
    told = latency(result)
    assert told is not None and one.p50_ms is not None and one.p90_ms is not None
    assert one.p50_ms.value == pytest.approx(told.p50_ms, rel=1e-3)
    for figure in (one.p50_ms, one.p90_ms):
        assert figure.low is not None and figure.high is not None
        assert figure.low <= figure.value <= figure.high
    assert (one.energy_mj, one.peak_bytes, one.metric) == (1.235, 4096, ("top-1", 0.9123, 1000))
    assert (one.date, one.runtime, one.runtime_version) == (report.started[:10], "litert", "2.3.0")


def test_interval_is_absent_where_one_block_tells_nothing_of_its_spread(state: Path, bundle: Bundle) -> None:
    report = accepted.report(bundle)
    report.results[0]["blocks"] = report.results[0]["blocks"][:1]
    (one,) = gathered(state, bundle, report, on=report.id).devices
    assert one.p50_ms is not None and one.p50_ms.low is None and one.p50_ms.high is None


def test_failed_result_is_no_measurement(state: Path, bundle: Bundle) -> None:
    good, bad = accepted.report(bundle, device=ATTIC), accepted.report(bundle)
    bad.results[0]["error"] = "out of\nmemory"
    found = gathered(state, bundle, good, bad, on=bad.id)
    assert [(one.device, one.worth) for one in found.devices] == [("attic-pi", "valid"), ("kitchen-pi", "invalid")]
    assert found.devices[1].problems == ("it failed: out of memory",) and found.devices[1].p50_ms is None
    assert gathered(state, accepted.bundle(bundle.folder.parent, "unmeasured", layers=3)).unmeasured


def test_another_metric_than_the_recipes_is_not_taken_for_it(state: Path, bundle: Bundle) -> None:
    report = accepted.report(bundle)
    report.results[0]["accuracy"] = {"name": "top-1", "value": 0.9, "n": 10, "outputs_sha256": "0" * 64}
    (one,) = gathered(state, bundle, report, on=report.id, metric="own.py:f1").devices
    assert one.metric is None
