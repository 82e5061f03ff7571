"""Real probes on this machine: what is bound by dispatch is found so, and what is not is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.farm.inventory import stand_in
from device_agents.farm.ledger.ledger import Ledger
from edgewright.places import cache_folder
from pipeline.gate.causes import Figures, cause_of
from pipeline.gate.graph import read_graph
from pipeline.gate.layers import Layer
from pipeline.gate.measure import Questions
from pipeline.gate.probes import Kit
from pipeline.measuring import Bench
from pipeline.project import Project
from targets.schema import read_target

pytestmark = [pytest.mark.slow, pytest.mark.alone]

TINY = Layer("sum", 8, 8)
BIG = Layer("linear", 512, 512, height=64)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figures]:
    """Of 200 tiny operators and of four large products, in both runtimes, out of one job."""
    folder = tmp_path_factory.mktemp("gate")
    kit = Kit(folder / "bundles", "host")
    kit.folder.mkdir()
    bundles = {}
    for runtime in ("onnxruntime", "litert"):
        bundles[f"tiny@{runtime}"] = kit.bundles[kit.add(runtime, None, TINY, 200)]
        bundles[f"big@{runtime}"] = kit.bundles[kit.add(runtime, None, BIG, 4)]
    graphs = {
        name: read_graph(bundle.model_file.read_bytes(), bundle.manifest.format) for name, bundle in bundles.items()
    }
    project = Project(folder, folder / "state", cache_folder(), None)
    bench = Bench(project, stand_in("host"), read_target("host", folder), purpose="gate")
    with bench.open() as device:
        # A busy machine makes a report invalid, but not 200 tiny operators a few.
        found, report = Questions(bench, bundles, graphs, elsewhere=False, anyway=True).put(device)
    with Ledger.open(None, project.state) as ledger:
        assert [entry.purpose for entry in ledger.reports()] == ["gate"]
    assert {one["name"] for one in report.results if one["error"]} == set()
    return found


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_chain_of_tiny_operators_is_bound_by_dispatch(figures: dict[str, Figures], runtime: str) -> None:
    cause = cause_of(figures[f"tiny@{runtime}"])
    assert cause.kind == "dispatch"
    assert cause.text.startswith("bound by dispatch: 200 operators")


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_large_products_are_not_bound_by_dispatch(figures: dict[str, Figures], runtime: str) -> None:
    found = figures[f"big@{runtime}"]
    assert found.dispatch is not None and found.dispatch.share.high < 0.2
    assert "dispatch" not in cause_of(found).kind


def test_streaming_is_measured_where_weights_do_not_fit_a_cache(figures: dict[str, Figures], tmp_path: Path) -> None:
    streaming = figures["big@onnxruntime"].streaming
    assert streaming is not None and streaming.weight_bytes == 4 * 512 * 512 * 4
    assert 1e8 < streaming.device_rate < 1e12
    assert figures["tiny@onnxruntime"].streaming is None
