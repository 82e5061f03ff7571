"""One job of a night: the bundles whose runtimes are there, the report filed first, and an end where it is stopped."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job
from device_agents.farm.report import Report
from pipeline.nightly import measuring as nights
from pipeline.nightly.child import Answer
from pipeline.nightly.measuring import PROTOCOL, Measuring, NightStopped
from pipeline.project import Project
from targets.schema import Target, read_target
from tests.pipeline.nightly.farm import answer, report

ENTRY = DeviceEntry(name="pi", target="raspberry-pi", address="pi.example")


class Device:
    """Stands for an open device; `without`: runtimes that it can't have."""

    def __init__(self) -> None:
        self.closed, self.cut = 0, threading.Event()
        self.without: dict[str, str] = {}
        self.connection = SimpleNamespace(close_link=self.cut.set)

    def available(self, runtimes: object) -> tuple[dict[str, str], dict[str, str]]:
        return {}, self.without

    def close(self) -> None:
        self.closed += 1


class Bench:
    """Stands for pipeline.measuring.Bench: notes what it is given, and gives `report`, having told an event."""

    names: tuple[str, ...] = ()
    during: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *given: Any, **more: Any) -> None:
        self.given = given

    def measured(self, device: Device, named: Any, protocol: Any, *, heard: Callable[[Any], None]) -> Report:
        assert protocol is PROTOCOL and self.given[3] == "nightly"
        Bench.names = tuple(name for name, _ in named)
        Bench.during()
        heard({"kind": "block"})
        return report("pi", "m", "raspberry-pi")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = Device()
    monkeypatch.setattr(nights, "open_unreserved", lambda project, entry: found)
    monkeypatch.setattr(nights, "Bench", Bench)
    monkeypatch.setattr(nights, "read_bundle", lambda folder: folder)
    monkeypatch.setattr(Bench, "during", staticmethod(lambda: None))
    return found


@pytest.fixture
def measuring(tmp_path: Path, state: Path) -> Measuring:
    return Measuring(dataclasses.replace(Project.here(), root=tmp_path, state=state), pytest.fail)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return read_target("raspberry-pi", tmp_path)


def asked() -> Answer:
    made = answer("m", "raspberry-pi")
    other = made.variants["int8"].model_copy(update={"runtime": "onnxruntime"})
    return made.model_copy(update={"variants": made.variants | {"int8@onnxruntime": other}})


def test_report_is_on_the_disk_when_the_job_is_done(
    measuring: Measuring, device: Device, target: Target, state: Path
) -> None:
    found = measuring.job(ENTRY, target, asked())
    assert Report.read(state / "reports" / f"{found.id}.json").id == found.id
    assert Bench.names == ("trained", "int8", "int8@onnxruntime")
    assert device.closed == 1


def test_runtime_that_the_device_cannot_have_is_left_out(measuring: Measuring, device: Device, target: Target) -> None:
    device.without = {"onnxruntime": "no wheel"}
    measuring.job(ENTRY, target, asked())
    assert Bench.names == ("trained", "int8")


def test_job_ends_where_the_night_is_stopped_and_no_other_begins(
    measuring: Measuring, device: Device, target: Target, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "during", staticmethod(measuring.stop))
    with pytest.raises(NightStopped):
        measuring.job(ENTRY, target, asked())
    assert device.cut.is_set() and device.closed == 1
    assert not (state / "reports").exists()
    with pytest.raises(NightStopped):
        measuring.open(ENTRY)


def test_protocol_is_a_deploy_s() -> None:
    fields = {name: value for name, value in PROTOCOL.fields().items() if name != "on_bad_state"}
    assert fields == {name: Job.model_fields[name].default for name in fields}
