"""Export: the file does what the network does, and its names say which module each tensor is of."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline.export.compare import run_file, worst_difference
from pipeline.export.to_onnx import INPUT, OUTPUT, NotExportable, module_of, to_onnx
from tests.pipeline import nets
from tests.pipeline.export.exported import exported_net


@pytest.fixture(scope="module")
def resnet() -> onnx.ModelProto:
    return exported_net("resnet")


FAST = ("resnet", "mobile", "concat", "flat")


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in (*nets.NETS, "flat18") if name not in FAST]


@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_export_gives_what_torch_gives(name: str) -> None:
    opset = 18 if name.endswith("18") else 20
    net = nets.make(name.removesuffix("18"))
    model = exported_net(name.removesuffix("18"), opset)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [opset]
    x = nets.pictures(5)
    with torch.no_grad():
        assert worst_difference(net(x).numpy(), run_file(model.SerializeToString(), x.numpy())) < 1e-5


def test_export_names_input_output_and_a_static_batch_of_one(resnet: onnx.ModelProto) -> None:
    (given,), (made,) = resnet.graph.input, resnet.graph.output
    assert (given.name, made.name) == (INPUT, OUTPUT)
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim] == [1, 1, 8, 8]
    assert [dim.dim_value for dim in made.type.tensor_type.shape.dim] == [1, 10]


def test_export_names_carry_the_modules(resnet: onnx.ModelProto) -> None:
    names = [node.name for node in resnet.graph.node]
    assert len(set(names)) == len(names)
    convolutions = {module_of(node.output[0]) for node in resnet.graph.node if node.op_type == "Conv"}
    # Batch norms are folded into the convolution before them.
    assert convolutions == {
        "norm", *(f"blocks.{block}.norm{n}" for block in range(3) for n in (1, 2)), "blocks.1.shortcut.1",
        "blocks.2.shortcut.1",
    }  # fmt: skip
    assert {"BatchNormalization"} & {node.op_type for node in resnet.graph.node} == set()


def test_export_leaves_the_network_in_evaluation_mode_and_its_weights_alone() -> None:
    net = nets.make("flat").train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    to_onnx(net, nets.pictures(1), 20)
    assert not net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("tensor", "module"),
    [("blocks.0.norm1/Conv", "blocks.0.norm1"), ("/Relu", ""), ("blocks.0/Relu#2", "blocks.0"), ("input", "")],
)
def test_module_of(tensor: str, module: str) -> None:
    assert module_of(tensor) == module


def test_export_of_what_onnx_cannot_say_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    class Choosy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x  # which way is known only when it runs

    with pytest.raises(NotExportable) as caught:
        to_onnx(Choosy(), torch.from_numpy(np.ones((1, 4), np.float32)), 20)
    assert "\n" not in caught.value.what
    assert caught.value.where == "input [1, 4], opset 20"
    assert capfd.readouterr() == ("", "")
