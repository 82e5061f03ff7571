"""Two releases side by side: figures, verdicts, the signature, and the version that it demands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Tensor
from device_agents.farm.ledger.ledger import Ledger
from pipeline.release.diff import between, diff, signature_changes
from pipeline.release.errors import NoRelease
from pipeline.release.evidence import Evidence, Interval
from pipeline.release.manifest import signature_of
from tests.device_agents.tiny import SIDE, tiny_manifest
from tests.pipeline.release import accepted
from tests.pipeline.release.accepted import LABELS, MEASURED
from tests.pipeline.release.contents import content, manifest

INPUT = Tensor(name="x", dtype="float32", shape=[1, 1, SIDE, SIDE])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"name": "another", "runtime": "litert", "precision": "int8", "macs": 1}, []),
        ({"inputs": [INPUT.model_copy(update={"scale": 0.5, "zero_point": 3})]}, []),
        ({"format": "tflite"}, ["format: onnx > tflite"]),
        ({"inputs": [INPUT.model_copy(update={"name": "image"})]}, ["input x name: x > image"]),
        ({"inputs": [INPUT.model_copy(update={"dtype": "int8"})]}, ["input x dtype: float32 > int8"]),
        ({"inputs": [INPUT.model_copy(update={"layout": "channels-last"})]}, ["input x layout: None > channels-last"]),
        ({"inputs": [INPUT, INPUT]}, ["inputs: 1 > 2"]),
        ({"outputs": [Tensor(name="y", dtype="float32", shape=[1, 5])]}, ["output y shape: ['batch', 4] > [1, 5]"]),
        ({"labels": None}, ["labels: 4 > none"]),
        ({"labels": LABELS[:3]}, ["labels: 4 > 3"]),
        ({"labels": [*LABELS[:3], "x"]}, ["labels: number 3 is 'three' > 'x'"]),
        ({"preprocessing": {"divide_by": 255}}, ["preprocessing divide_by: 16 > 255"]),
        ({"preprocessing": {}}, ["preprocessing divide_by: 16 > None"]),
    ],
)
def test_signature_is_what_an_app_relies_on(changes: dict[str, Any], said: list[str]) -> None:
    told: dict[str, Any] = {"inputs": [INPUT], "labels": LABELS, "preprocessing": {"divide_by": 16}}
    one, other = tiny_manifest(**told), tiny_manifest(**told | changes)
    assert signature_changes(signature_of(one), signature_of(other)) == said


@pytest.mark.parametrize(
    ("version", "labels", "breaks"),
    [
        ("1.0.1", LABELS, ""),
        ("2.0.0", ["a", "b", "c", "d"], ""),
        ("1.1.0", ["a", "b", "c", "d"], "the signature changed, which demands 2.0.0 or later"),
        ("0.9.0", LABELS, "0.9.0 does not come after 1.0.0, and it is another model"),
    ],
)
def test_version_holds_the_rule_or_breaks_it(version: str, labels: list[str], breaks: str, tmp_path: Path) -> None:
    a = manifest(content(tmp_path / "a"))
    b = manifest(content(tmp_path / "b", version=version, labels=labels, layers=3))
    found = between(a, b)
    assert found.breaks == breaks
    assert found.demanded == ("major" if labels != LABELS else "minor or patch")
    assert ("BREAKS THE RULE" in found.lines()[-1]) == bool(breaks)
    assert found.to_json()["breaks"] == breaks


def test_figures_stand_side_by_side(tmp_path: Path) -> None:
    faster = replace(MEASURED, p50_ms=Interval(1.0, 0.9, 1.1), metric=("top-1", 0.9212, 1000))
    a = manifest(content(tmp_path / "a"))
    b = manifest(content(tmp_path / "b", version="1.1.0", evidence=Evidence((faster,)), params=350, layers=3))
    text = "\n".join(between(a, b).lines())
    assert "params" in text and "-50.0 %" in text
    assert "93.0 %" in text and "92.1 %" in text and "-0.88 points" in text
    assert "1.50x the speed by figures of different sessions: no verdict" in text


def test_report_that_has_both_gives_a_verdict(state: Path, tmp_path: Path) -> None:
    first, second = content(tmp_path / "a"), content(tmp_path / "b", version="1.1.0", layers=3)
    with Ledger.open(None, state) as ledger:
        stand_in = {"name": "desk", "stand_in": True, "emulated": False}
        reports = [
            accepted.report(first.bundle, (second.bundle,)),
            accepted.report(first.bundle, (second.bundle,), device=stand_in),
            accepted.report(first.bundle, (second.bundle,), valid=False),
        ]
        ledger.append_all(reports)
        (timing,) = between(manifest(first), manifest(second), ledger).timings
        (back,) = between(manifest(second), manifest(first), ledger).timings
    assert (timing.device, timing.report) == ("kitchen-pi", reports[0].id)
    assert timing.verdict in ("faster", "slower") and {timing.verdict, back.verdict} == {"faster", "slower"}
    assert (timing.ratio.value > 1) == (timing.b_ms < timing.a_ms)


def test_what_is_no_release_is_no_side(tmp_path: Path) -> None:
    with pytest.raises(NoRelease):
        diff(tmp_path, tmp_path)


def test_latency_that_is_not_known_is_said_to_be(tmp_path: Path) -> None:
    stood_in = replace(MEASURED, worth="standing in")
    a = manifest(content(tmp_path / "a", evidence=Evidence((stood_in,))))
    b = manifest(content(tmp_path / "b", version="1.1.0", evidence=Evidence((stood_in,)), layers=3))
    (row,) = [line for line in between(a, b).lines() if line.split()[0] == "p50"]
    assert "no real device has valid figures of both" in row
    assert f"./inv compare {a.bundle[:12]} {b.bundle[:12]}" in row
    again = between(a, a.model_copy(update={"version": "1.0.1"}))
    assert any(line.split()[0] == "p50" and "the same bundle" in line for line in again.lines())
    assert not any(what == "p50" for what, *_ in between(a, b).rows())  # a CHANGELOG says what changed


def test_metrics_that_were_not_taken_alike_say_so(tmp_path: Path) -> None:
    untold = replace(MEASURED, metric=None)
    a = manifest(content(tmp_path / "a"))
    b = manifest(content(tmp_path / "b", version="1.1.0", evidence=Evidence((untold,)), layers=3))
    text = "\n".join(between(a, b).lines())
    assert "not taken alike: 1,000 of the test part, on a device; 100 of the validation part, where it was made" in text
    assert "not taken alike" not in "\n".join(between(a, a).lines())


def test_no_rule_holds_between_two_targets_nor_after_a_prerelease(tmp_path: Path) -> None:
    a = manifest(content(tmp_path / "a"))
    b = manifest(content(tmp_path / "b", version="1.0.1", labels=["a", "b", "c", "d"], layers=3))
    other = between(a, b.model_copy(update={"name": "tiny-jetson", "target": "jetson", "devices": []}))
    assert other.breaks == "" and other.demanded is None and "no rule" in other.lines()[-1]
    assert any("other kinds of device" in line for line in other.lines())
    candidate = between(a.model_copy(update={"version": "1.0.0-rc.1"}), b)
    assert candidate.breaks == "" and candidate.demanded is None and "promises nothing" in candidate.lines()[-1]
    assert between(a, b).breaks
