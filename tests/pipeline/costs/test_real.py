"""On this machine: a table of ResNet-8's layers tells its whole time about right, and smaller networks in order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from device_agents.bundle import Bundle, Manifest, Tensor, write_bundle
from device_agents.farm.inventory import stand_in
from device_agents.farm.paired import latency
from models.architectures.resnet import resnet8
from pipeline.costs.layers import layers_of
from pipeline.costs.measure import SHORT, measure_costs
from pipeline.costs.points import grid, points
from pipeline.costs.table import Whole
from pipeline.costs.tracing import trace
from pipeline.export.lean import leanest
from pipeline.export.to_onnx import tensors_of, to_onnx
from pipeline.measuring import Bench
from pipeline.project import Project
from pipeline.pruning.coupling import find_structure, prepare
from targets.schema import Runtime, Target

pytestmark = [pytest.mark.slow, pytest.mark.alone]

EXAMPLE = torch.zeros(1, 1, 28, 28)
WIDTHS = {"whole": (16, 32, 64), "half": (8, 16, 32), "deep and thin": (4, 8, 16)}


def _bundle(folder: Path, name: str, network: nn.Module) -> Bundle:
    model = to_onnx(network, EXAMPLE, 20)
    file = folder / f"{name}.onnx"
    file.write_bytes(leanest(model))
    ports = {side: [Tensor.model_validate(one) for one in told] for side, told in tensors_of(model).items()}
    manifest = Manifest(
        schema="edgewright-bundle/1", name=name, model="resnet8", target="host", format="onnx", runtime="onnxruntime",
        precision="float32", file="model.onnx", sha256="0" * 64, bytes=0, inputs=ports["inputs"],
        outputs=ports["outputs"],
    )  # fmt: skip
    return write_bundle(folder / name, file, manifest)


def test_layers_tell_the_whole_and_the_order_of_variants(project_root: Path, state: Path, tmp_path: Path) -> None:
    runtime = Runtime(name="onnxruntime", providers=("CPUExecutionProvider",))
    project = Project(project_root, state, Path("~/.cache/edgewright").expanduser(), None)
    bench = Bench(project, stand_in("host"), Target(name="host", runtime=(runtime,)))
    network = resnet8().eval()
    prepare(network)
    operations = trace(network, EXAMPLE)
    structure = find_structure(network, (EXAMPLE.repeat(2, 1, 1, 1),))
    asked = points(operations, grid(operations, structure.groups, levels=(0.25, 1.0), step=4), "float32")
    networks = {name: resnet8(widths=widths).eval() for name, widths in WIDTHS.items()}
    with bench.open() as device:
        table = measure_costs(bench, device, asked, runtime)
        bundles = [(name, _bundle(tmp_path, name, one)) for name, one in networks.items()]
        report = bench.measured(device, bundles, SHORT)
    times = {result["name"]: latency(result) for result in report.results}
    wholes = [Whole(layers_of(networks[name], EXAMPLE), "float32", time.p50_ms) for name, time in times.items() if time]
    assert len(wholes) == len(WIDTHS)
    predicted = [table.predict(one.layers, "float32") for one in wholes]
    assert predicted == sorted(predicted, reverse=True)
    assert 0.4 < table.error(wholes).bias < 2.5
    assert not table.failed
    assert list((state / "reports").glob("*.json"))
