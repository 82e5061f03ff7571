"""Asking a device: what is measured, kept and remembered, and what is said where nothing can be measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle, write_bundle
from device_agents.errors import LinkLost
from device_agents.farm.candidate import Judgement
from device_agents.farm.inventory import DeviceEntry, stand_in
from device_agents.farm.opening import AnyDevice
from device_agents.farm.report import Report
from pipeline.gate import Cause, explain, probes
from pipeline.gate import measure as measuring
from pipeline.gate.layers import Layer
from pipeline.gate.onnx_probe import onnx_chain
from pipeline.measuring import Bench, Protocol
from pipeline.project import Project
from targets.schema import Runtime, Target
from tests.device_agents.farm.ledger import made
from tests.device_agents.farm.sample import make_result
from tests.device_agents.tiny import tiny_manifest

ORT = Runtime(name="onnxruntime", providers=("CPUExecutionProvider",))
TARGET = Target(name="host", runtime=(ORT,))
SLOW = Judgement("slow", "does not pay", "slower", against="trained")
DEVICE: Any = object()
"""No device is asked: what it would answer is made up."""


@pytest.fixture
def bundles(tmp_path: Path) -> dict[str, Bundle]:
    """Twenty layers of 16 channels."""
    file = tmp_path / "chain.onnx"
    file.write_bytes(onnx_chain(Layer("convolution", 16, 16, (3, 3), height=8, width=8), 20))
    return {"slow": write_bundle(tmp_path / "slow", file, tiny_manifest("slow"))}


@dataclasses.dataclass
class Made:
    """What comes back of a job, and what the jobs were asked. empty, chain: times of probes in ms; error: is raised."""

    empty: float = 0.01
    chain: float = 0.14
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: Exception | None = None
    asked: list[list[str]] = dataclasses.field(default_factory=list)
    kept: list[Report] = dataclasses.field(default_factory=list)

    def measured(self, bench: Bench, device: AnyDevice, named: Sequence[tuple[str, Bundle]], _: Protocol) -> Report:
        self.asked.append([name for name, _ in named])
        if self.error is not None:
            raise self.error
        report = made.report(purpose=bench.purpose, **self.fields)
        report.results = [make_result(name, self._ms(name), None, noise=0.001, between=0.0) for name, _ in named]
        return report

    def _ms(self, name: str) -> float:
        return 0.1 if name == "slow" else self.empty if ": 1 x" in name else self.chain


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Made:
    found = Made()
    monkeypatch.setattr(Bench, "measured", lambda *given: found.measured(*given))
    monkeypatch.setattr(measuring, "keep", lambda project, report, note: found.kept.append(report))
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return _bench(tmp_path, stand_in("host"))


def _bench(folder: Path, entry: DeviceEntry, target: Target = TARGET, notes: list[str] | None = None) -> Bench:
    project = Project(folder, folder / "state", folder / "cache", None)
    said = notes if notes is not None else []
    return Bench(project, entry, target, purpose="gate", note=said.append)


def _cause(bench: Bench, bundles: dict[str, Bundle], **report: Any) -> Cause:
    return explain(bench, DEVICE, bundles, made.report(**report), [SLOW])["slow"]


def test_dispatch_is_found_by_probes_beside_the_variant(bench: Bench, bundles: dict[str, Bundle], device: Made) -> None:
    cause = _cause(bench, bundles)
    # 0.01 ms of an empty graph, and 22 operators at (0.14 - 0.01) / 32 ms each: 99 % of 0.1 ms.
    assert cause.kind == "dispatch"
    assert "22 operators at 4." in cause.text and " of its 0.10" in cause.text
    assert len(device.asked) == 1 and device.asked[0][-1] == "slow"
    assert [report.purpose for report in device.kept] == ["gate"]


def test_dispatch_is_not_found_where_operators_cost_little(
    bench: Bench, bundles: dict[str, Bundle], device: Made
) -> None:
    device.chain = 0.03
    cause = _cause(bench, bundles)
    assert cause.kind == "unknown"
    assert cause.text.startswith("no cause found: operators by themselves are 24 %")


def test_operators_are_held_against_the_time_of_what_the_variant_came_from(
    bench: Bench, bundles: dict[str, Bundle], device: Made
) -> None:
    device.chain = 0.08
    assert _cause(bench, bundles).kind == "unknown"
    beaten = [make_result(name, ms, None, noise=0.001, between=0.0) for name, ms in (("trained", 0.06), ("slow", 0.1))]
    cause = _cause(bench, bundles, results=beaten)
    assert cause.kind == "dispatch" and cause.text.endswith("of that of trained")
    assert len(device.asked) == 1


def test_second_question_measures_nothing(bench: Bench, bundles: dict[str, Bundle], device: Made) -> None:
    assert _cause(bench, bundles) == _cause(bench, bundles)
    assert len(device.asked) == 1


@pytest.mark.parametrize(
    "report",
    [{"identity": "cd" * 8}, {"runtimes": [{"name": "onnxruntime", "version": "9.9"}]}],
    ids=["another device", "another version of the runtime"],
)
def test_figures_of_others_are_not_taken(
    bench: Bench, bundles: dict[str, Bundle], device: Made, report: dict[str, Any]
) -> None:
    _cause(bench, bundles)
    _cause(bench, bundles, **report)
    assert len(device.asked) == 2


def test_figures_of_another_file_are_not_taken(
    bench: Bench, bundles: dict[str, Bundle], device: Made, tmp_path: Path
) -> None:
    _cause(bench, bundles)
    file = tmp_path / "longer.onnx"
    file.write_bytes(onnx_chain(Layer("convolution", 16, 16, (3, 3), height=8, width=8), 21))
    _cause(bench, {"slow": write_bundle(tmp_path / "longer", file, tiny_manifest("slow"))})
    assert len(device.asked) == 2


def test_damaged_figures_are_measured_again(bench: Bench, bundles: dict[str, Bundle], device: Made) -> None:
    _cause(bench, bundles)
    (kept,) = (bench.project.state / "gate").iterdir()
    kept.write_text("{")
    assert _cause(bench, bundles).kind == "dispatch"
    assert len(device.asked) == 2


def test_nothing_is_measured_where_nobody_asks(bench: Bench, bundles: dict[str, Bundle], device: Made) -> None:
    pays = dataclasses.replace(SLOW, against="")
    assert explain(bench, DEVICE, bundles, made.report(), [pays]) == {}
    assert explain(bench, DEVICE, {}, made.report(), [SLOW]) == {}
    assert not device.asked


def test_device_that_vanishes_costs_a_warning_and_no_more(
    tmp_path: Path, bundles: dict[str, Bundle], device: Made
) -> None:
    notes: list[str] = []
    device.error = LinkLost("The connection to kitchen-pi broke", where="x", remedy="y")
    cause = _cause(_bench(tmp_path, stand_in("host"), notes=notes), bundles)
    assert cause == Cause("unknown", "no cause found: probing failed: The connection to kitchen-pi broke")
    assert notes == ["warning: why variants do not pay was not found out: The connection to kitchen-pi broke"]


def test_probe_that_cannot_be_made_costs_a_warning_and_no_more(
    tmp_path: Path, bundles: dict[str, Bundle], device: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> bytes:
        raise ValueError("no such layer")

    monkeypatch.setattr(probes, "onnx_chain", fails)
    notes: list[str] = []
    cause = _cause(_bench(tmp_path, stand_in("host"), notes=notes), bundles)
    assert cause == Cause("unknown", "no cause found: probing failed: ValueError: no such layer")
    assert len(notes) == 1 and not device.asked


@pytest.mark.parametrize(("precision", "asked"), [("int8", True), ("dynamic", False)])
def test_static_kernels_are_no_proof_against_dynamic_int8(
    bench: Bench, bundles: dict[str, Bundle], device: Made, precision: str, asked: bool
) -> None:
    made = bundles["slow"]
    manifest = made.manifest.model_copy(update={"precision": precision})
    bundles["slow"] = write_bundle(made.folder.parent / precision, made.model_file, manifest)
    cause = _cause(bench, bundles)
    assert any("float32: 4 x" in name for name in device.asked[0]) is asked
    assert ("take static INT8" in cause.instead) is not asked


def test_invalid_probes_show_nothing_and_are_not_remembered(
    bench: Bench, bundles: dict[str, Bundle], device: Made
) -> None:
    device.fields = {"valid": False, "problems": ["it throttled"]}
    assert _cause(bench, bundles).text == "no cause found: the probes' measurement is invalid: it throttled"
    device.fields = {}
    assert _cause(bench, bundles).kind == "dispatch"


def test_probe_that_fails_leaves_its_cause_open(
    bench: Bench, bundles: dict[str, Bundle], device: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Made, "_ms", lambda self, name: 0.1 if name == "slow" else None)
    assert _cause(bench, bundles).text == "no cause found: nothing could be measured"


@pytest.mark.parametrize(
    ("entry", "target", "says"),
    [
        (DeviceEntry(name="phone", target="android", kind="adb"), TARGET, "a phone by adb runs no probes"),
        (DeviceEntry(name="qemu", target="host", address="h", emulated=True), TARGET, "the device is emulated"),
        (
            stand_in("host"),
            Target(name="host", runtime=(ORT.model_copy(update={"providers": ("CUDAExecutionProvider",)}),)),
            "there are no probes for CUDAExecutionProvider",
        ),
    ],
    ids=["phone", "emulated", "gpu"],
)
def test_what_has_no_probes_is_not_asked(
    entry: DeviceEntry, target: Target, says: str, tmp_path: Path, bundles: dict[str, Bundle], device: Made
) -> None:
    assert _cause(_bench(tmp_path, entry, target), bundles).text == f"no cause found: {says}"
    assert not device.asked


def test_invalid_measurement_is_not_explained(bench: Bench, bundles: dict[str, Bundle], device: Made) -> None:
    assert explain(bench, DEVICE, bundles, made.report(valid=False), [SLOW]) == {}
    assert not device.asked


def test_file_whose_graph_cannot_be_read_is_said(bench: Bench, tmp_path: Path, device: Made) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"no model")
    broken = {"slow": write_bundle(tmp_path / "broken", file, tiny_manifest("slow"))}
    assert _cause(bench, broken).text.startswith("no cause found: The graph can't be read")
    assert not device.asked


def test_graph_optimised_on_another_machine_is_called_so(
    tmp_path: Path, bundles: dict[str, Bundle], device: Made
) -> None:
    remote = _bench(tmp_path, DeviceEntry(name="pi", target="host", address="h"))
    _cause(remote, bundles)
    (kept,) = (remote.project.state / "gate").iterdir()
    assert '"elsewhere":true' in kept.read_text()
