"""Costs are measured once, a job at a time, and what was measured outlives whatever ends the next job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from device_agents.bundle import Bundle
from device_agents.errors import LinkLost
from device_agents.farm.inventory import stand_in
from device_agents.farm.prepare import RuntimeInfo
from pipeline.costs import measure
from pipeline.costs.cache import Cache
from pipeline.costs.layers import Layer
from pipeline.costs.measure import CostsNotMeasured, measure_costs
from pipeline.costs.table import BadCosts, Entry
from pipeline.measuring import Bench, Protocol
from pipeline.project import Project
from targets.schema import Runtime, Target

RUNTIME = Runtime(name="onnxruntime")
WANTED = [(Layer("linear", width, 8, (1,)), "float32") for width in (8, 16, 32, 64)]


class FakeDevice:
    """A device that has one runtime."""

    def __init__(self, version: str = "1.0", cpu: str = "a chip") -> None:
        self._info = RuntimeInfo("onnxruntime", version, "d", "/r", False)
        self._cpu = cpu

    def available(self, runtimes: Sequence[Runtime]) -> tuple[dict[str, RuntimeInfo], dict[str, str]]:
        return {"onnxruntime": self._info}, {}

    def probe(self) -> dict[str, Any]:
        return {"facts": {"cpu_model": self._cpu, "memory_bytes": 1 << 30}}


class FakeReport:
    """A report in which a graph's name makes its time; of `broken` ones none."""

    def __init__(self, names: Sequence[str], broken: str, idle: bool) -> None:
        self.id, self.valid, self.problems = "report", True, ["others took 99 % of its cores"] if idle else []
        samples = [] if idle else [1_000_000, 1_100_000]
        self.results = [
            {"name": name, "error": "no such kernel" if broken and broken in name else None,
             "blocks": [] if broken and broken in name else [{"batch": 1, "samples_ns": samples}]}
            for name in names
        ]  # fmt: skip


class FakeBench(Bench):
    """Counts its jobs; the link breaks in the job of that number."""

    jobs: int = 0
    breaks: int = 0
    broken: str = ""
    idle: bool = False
    seen: tuple[str, ...] = ()

    def measured(self, device: Any, named: Sequence[tuple[str, Bundle]], protocol: Protocol, *_: Any) -> Any:
        self.jobs += 1
        if self.jobs == self.breaks:
            raise LinkLost("The device is gone", where="it", remedy="look at it")
        self.seen += tuple(name for name, _ in named)
        assert all(bundle.model_file.stat().st_size for _, bundle in named)
        return FakeReport([name for name, _ in named], self.broken, self.idle)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBench:
    monkeypatch.setattr(measure, "keep", lambda *_: None)
    project = Project(tmp_path, tmp_path / "state", tmp_path, None)
    return FakeBench(project, stand_in("host"), Target(name="host", runtime=(RUNTIME,)))


def _measured(bench: FakeBench, device: FakeDevice | None = None, **given: Any) -> Any:
    return measure_costs(bench, cast(Any, device or FakeDevice()), WANTED, RUNTIME, **given)


def test_second_measurement_finds_all_and_asks_the_device_for_nothing(bench: FakeBench) -> None:
    first = _measured(bench)
    jobs = bench.jobs
    assert _measured(bench).to_json() == first.to_json()
    assert bench.jobs == jobs == 1
    assert len(first.entries) == 1 + len(WANTED)


def test_device_that_vanishes_leaves_what_was_measured(bench: FakeBench) -> None:
    bench.breaks = 2
    with pytest.raises(LinkLost):
        _measured(bench, per_job=2)
    before = bench.seen
    assert len(before) == 2
    assert len(_measured(bench, per_job=2).entries) == 1 + len(WANTED)
    assert not set(before) & set(bench.seen[2:])


@pytest.mark.parametrize("other", [FakeDevice(version="2.0"), FakeDevice(cpu="another chip")])
def test_another_runtime_or_chip_is_measured_by_itself(bench: FakeBench, other: FakeDevice) -> None:
    _measured(bench)
    _measured(bench, other)
    assert bench.jobs == 2
    assert len(list((bench.project.state / "costs").glob("*.json"))) == 2


def test_layer_that_the_device_cannot_run_is_told_and_not_kept(bench: FakeBench) -> None:
    bench.broken = "32>8"
    table = _measured(bench)
    assert list(table.failed.values()) == ["no such kernel"]
    assert WANTED[2] not in {one.key for one in table.entries}
    bench.broken = ""
    assert WANTED[2] in {one.key for one in _measured(bench).entries}


def test_device_that_measures_nothing_is_an_error_with_its_reason(bench: FakeBench) -> None:
    bench.idle = True
    with pytest.raises(CostsNotMeasured, match="others took 99 %"):
        _measured(bench)


def test_emulated_device_is_refused(bench: FakeBench) -> None:
    bench.entry = bench.entry.model_copy(update={"emulated": True})
    with pytest.raises(CostsNotMeasured, match="emulated"):
        _measured(bench)
    assert bench.jobs == 0


def test_format_without_single_layers_is_refused(bench: FakeBench) -> None:
    torch = Runtime(name="torch", precisions=("float32",), source="device")
    with pytest.raises(CostsNotMeasured, match="torchscript"):
        measure_costs(bench, cast(Any, FakeDevice()), WANTED, torch)


def test_damaged_cache_names_the_file_to_delete(bench: FakeBench) -> None:
    _measured(bench)
    (path,) = (bench.project.state / "costs").glob("*.json")
    path.write_text('{"schema": "edgewright-costs/1", "entr')
    with pytest.raises(BadCosts) as caught:
        _measured(bench)
    assert str(path) in str(caught.value)


def test_two_processes_add_to_one_cache(tmp_path: Path) -> None:
    first, second = Cache(tmp_path, {"a": 1}), Cache(tmp_path, {"a": 1})
    entries = [Entry(layer, precision, 2, 1.0, "r") for layer, precision in WANTED]
    first.add(entries[:2])
    second.add(entries[1:])
    assert {one.key for one in first.read()} == set(WANTED)
    assert json.loads(first.path.read_text())["of"] == {"a": 1}


@pytest.mark.parametrize(("memory", "layers"), [(None, 4), (512 << 20, 4), (2 << 30, 10), (64 << 30, 24)])
def test_small_memory_takes_fewer_layers_at_a_time(memory: int | None, layers: int) -> None:
    assert measure._fitting(memory) == layers
