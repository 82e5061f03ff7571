"""What a search asks of the device: times of the base it needs, causes it can do without, costs as far as they came."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from device_agents.errors import DeviceError
from device_agents.farm.candidate import Judgement
from device_agents.farm.inventory import stand_in
from device_agents.farm.report import Report
from edgewright.progress import Silent
from pipeline.costs.layers import Layer
from pipeline.costs.measure import CostsNotMeasured, Wanted
from pipeline.costs.table import CostTable, Entry
from pipeline.measuring import Bench
from pipeline.plan import Plan, Variant
from pipeline.project import Project
from pipeline.search import prices
from pipeline.search.looking import Looking
from pipeline.search.notes import Notes
from pipeline.search.pricing import Way
from pipeline.search.space import Choice, Space
from pipeline.search.subject import BaseNotMeasured, measure_base
from targets.schema import read_target
from tests.pipeline.conftest import ONNX


@pytest.fixture
def looking(tmp_path: Path) -> Looking:
    project = Project(tmp_path, tmp_path / "state", tmp_path / "cache", None)
    return Looking(project, stand_in("host"), read_target(ONNX, tmp_path), Silent(), lambda line: None)


def test_a_trained_network_that_the_device_cannot_run_ends_the_search(
    looking: Looking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = Variant("trained", "float32", None, "bundle", "check", looking.target.runtime[0])
    monkeypatch.setattr("pipeline.search.subject.laid_out", lambda *given: {"trained": tmp_path})
    monkeypatch.setattr(Looking, "short", lambda self, base, folders: {})
    with pytest.raises(BaseNotMeasured, match="no time of trained"):
        measure_base(cast(Plan, SimpleNamespace(variants=[variant])), {}, looking, Notes(tmp_path / "notes"))


def test_a_device_that_is_gone_when_causes_are_asked_loses_nothing(
    looking: Looking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Bench) -> Any:
        raise DeviceError("The device is gone", where="pi-1", remedy="plug it in")

    said: list[str] = []
    looking.note = said.append
    monkeypatch.setattr(Bench, "open", gone)
    monkeypatch.setattr("pipeline.search.looking.read_bundle", lambda folder: folder)
    slow = Judgement("slow", "does not pay", "it is slower", against="trained")
    assert looking.causes({"slow": tmp_path}, cast(Report, None), [slow]) == {}
    assert "The device is gone" in said[0]
    paying = Judgement("fast", "pays", "it is faster")
    assert looking.causes({"fast": tmp_path}, cast(Report, None), [paying]) == {}
    assert len(said) == 1  # nothing was asked


def test_costs_that_were_measured_count_although_the_rest_was_not(
    looking: Looking, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: list[Entry] = []

    def measure(bench: Bench, device: Any, lot: Sequence[Wanted], *given: Any, **more: Any) -> CostTable:
        if entries:
            raise CostsNotMeasured("The device measured nothing", where="host", remedy="again")
        entries.extend(Entry(layer, precision, 2, 0.1) for layer, precision in lot)
        return CostTable(entries)

    monkeypatch.setattr("pipeline.costs.measure.measure_costs", measure)
    monkeypatch.setattr(Bench, "open", lambda self: nullcontext())
    way = Way("trained", looking.target.runtime[0].name, "float32", 0.2, 160_000, 30_000)
    found, count, warnings = prices.prices_for(space, [way], looking, 8, 60.0, Notes(tmp_path / "notes"))
    assert (count, warnings) == (prices.AT_ONCE, [])
    own: list[Layer] = space.left(Choice())
    assert found[way.runtime].predict(own, "float32") > 0
