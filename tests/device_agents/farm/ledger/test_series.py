"""Series: which results stand in them, in which order, with which figures."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from device_agents.farm.ledger.history import METRICS
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.points import Key
from device_agents.farm.paired import block_medians
from edgewright.errors import BadArgument
from tests.device_agents.farm.ledger import made


def test_series_has_a_point_a_report_in_the_order_of_filing(ledger: Ledger) -> None:
    given = [made.report(started=at) for at in ("2026-05-01", "1970-01-01", "2026-01-01")]
    ledger.append_all(given)
    (one,) = ledger.series()
    assert one.key == Key("resnet20", "trained", "raspberry-pi", "kitchen-pi", "onnxruntime", "float32")
    assert [point.report for point in one.points] == [report.id for report in given]
    assert [point.started for point in one.points] == ["2026-05-01", "1970-01-01", "2026-01-01"]
    assert [point.seq for point in one.points] == sorted(point.seq for point in one.points)


def test_point_has_the_medians_values_and_environment_of_its_report(ledger: Ledger) -> None:
    report = made.report(canary_model=made.canary_model(2.0))
    result = report.results[0]
    result |= {"energy_mj": 2.5, "redone": [made.block(50.0)]}
    result["blocks"].insert(2, made.block(1.0) | {"samples_ns": []})
    report.state_before |= {"power_mode": "15W", "max_freq_khz": 1_800_000, "temperature_c": 41.5}
    ledger.append(report)
    ((point,),) = (one.points for one in ledger.series())
    assert point.blocks == tuple(one.ns for one in block_medians(result["blocks"]))
    assert len(point.blocks) == 6
    assert report.canary_model is not None
    assert point.canary_blocks == tuple(one.ns for one in block_medians(report.canary_model["blocks"]))
    assert point.canary_ns == median(one["ns"] for one in report.canary)
    samples = [ns for block in result["blocks"] for ns in block["samples_ns"]]
    assert point.values == {
        "latency": median(samples),
        "load_time": median(one["load_ns"] for one in result["loads"]),
        "memory": result["peak_bytes"],
        "size": 1234,
        "energy": 2.5,
        "accuracy": 0.9331,
    }
    assert point.environment == {
        "bundle": result["bundle"],
        "runtime_version": "1.31.1",
        "numpy": "2.4.6",
        "kernel": "6.1.0",
        "os": "Debian GNU/Linux 12",
        "identity": "ab" * 8,
        "agent_version": "0.1.0",
        "governor": "performance",
        "power_mode": "15W",
        "max_freq_khz": "1800000",
        "temperature_c": "41.5",
        "metric_name": "top-1",
        "metric_n": "10000",
    }


def test_what_was_not_measured_has_no_value(ledger: Ledger) -> None:
    report = made.report(canary=[])
    report.results[0] |= {"accuracy": None, "loads": []}
    ledger.append(report)
    ((point,),) = (one.points for one in ledger.series())
    assert set(point.values) == {"latency", "memory", "size"}
    assert point.canary_ns is None
    assert point.canary_blocks == ()
    assert "power_mode" not in point.environment


@pytest.mark.parametrize(
    "bad",
    [
        {"valid": False},
        {"device": {"name": "kitchen-pi", "stand_in": True, "emulated": False}},
        {"device": {"name": "kitchen-pi", "stand_in": False, "emulated": True}},
    ],
    ids=["invalid", "stand-in", "emulated"],
)
def test_what_can_not_be_trusted_stays_out(ledger: Ledger, bad: dict[str, Any]) -> None:
    ledger.append(made.report(**bad))
    assert ledger.series() == []
    assert len(ledger.reports()) == 1
    ledger.append(made.report())
    (one,) = ledger.series()
    assert len(one.points) == 1


def test_failed_variant_and_canary_model_make_no_series(ledger: Ledger) -> None:
    report = made.report(shapes=2, canary_model=made.canary_model())
    report.results[1]["error"] = "over the memory limit"
    ledger.append(report)
    assert [one.key.variant for one in ledger.series()] == ["trained"]


def test_other_device_runtime_or_precision_is_another_series(ledger: Ledger) -> None:
    base, device, runtime, precision = (made.report() for _ in range(4))
    device.device["name"] = "cellar-pi"
    runtime.results[0]["runtime"] = {"name": "litert", "version": "2"}
    precision.job["variants"][0]["precision"] = "float16"
    ledger.append_all([base, device, runtime, precision, made.report(shapes=2)])
    found = {(k.variant, k.device, k.runtime, k.precision): len(s.points) for s in ledger.series() for k in [s.key]}
    assert found == {
        ("trained", "kitchen-pi", "onnxruntime", "float32"): 2,
        ("trained", "cellar-pi", "onnxruntime", "float32"): 1,
        ("trained", "kitchen-pi", "litert", "float32"): 1,
        ("trained", "kitchen-pi", "onnxruntime", "float16"): 1,
        ("int8", "kitchen-pi", "onnxruntime", "float32"): 1,
    }
    assert [s.key.device for s in ledger.series(device="cellar-pi")] == ["cellar-pi"]


def test_series_of_one_metric_leaves_out_points_without_it(ledger: Ledger) -> None:
    with_energy, without = made.report(), made.report()
    with_energy.results[0]["energy_mj"] = 1.0
    ledger.append_all([with_energy, without])
    (one,) = ledger.series(metric="energy")
    assert [point.report for point in one.points] == [with_energy.id]
    with pytest.raises(BadArgument, match="no metric 'speed'") as caught:
        ledger.series(metric="speed")
    assert ", ".join(METRICS) in str(caught.value)


def test_series_of_some_purposes(ledger: Ledger) -> None:
    ledger.append_all([made.report(purpose="bisect"), made.report(purpose="nightly")])
    assert [len(one.points) for one in ledger.series()] == [2]
    assert [len(one.points) for one in ledger.series(purposes=["nightly", "deploy"])] == [1]


def test_bundles_come_once_by_first_appearance(ledger: Ledger) -> None:
    given = [made.report() for _ in range(4)]
    for report, digest in zip(given, ["b", "a", "b", "c"], strict=True):
        report.results[0]["bundle"] = digest * 64
    ledger.append_all([*given, made.report(model="other")])
    found = ledger.bundles("resnet20", "raspberry-pi")
    assert [(one.bundle[0], one.report) for one in found] == [
        ("b", given[0].id),
        ("a", given[1].id),
        ("c", given[3].id),
    ]
    assert ledger.bundles("resnet20", "raspberry-pi", "trained") == found
    assert ledger.bundles("resnet20", "raspberry-pi", "int8") == []


def test_canary_of_another_runtime_is_none_of_a_series(ledger: Ledger) -> None:
    report = made.report(canary_model=made.canary_model())
    ledger.append(report)
    (point,) = ledger.series()[0].points
    assert point.canary_blocks
    other = made.report(canary_model=made.canary_model())
    assert other.canary_model is not None
    other.canary_model["runtime"] = other.canary_model["runtime"] | {"name": "litert"}
    ledger.append(other)
    assert [bool(point.canary_blocks) for point in ledger.series()[0].points] == [True, False]
