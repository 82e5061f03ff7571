"""Export: the file does what the network does, and its names say which module each tensor is of."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline.export.compare import run_file, torch_drift
from pipeline.export.drift import worst_difference
from pipeline.export.refusal import NotExportable
from pipeline.export.to_onnx import INPUT, OUTPUT, module_of, to_onnx
from pipeline.pruning.groups import Axis, Count, Group
from pipeline.pruning.plan import PruningPlan, Rows, Swap, actions_for, replay
from tests.pipeline import nets
from tests.pipeline.export import attentive
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


def test_export_of_two_inputs_and_two_outputs_numbers_them() -> None:
    net = attentive.made(attentive.Pair)
    model = to_onnx(net, (torch.ones(1, 4), torch.ones(1, 6)), 20)
    assert [value.name for value in model.graph.input] == ["input", "input_2"]
    assert [value.name for value in model.graph.output] == ["output", "output_2"]
    x = (torch.randn(5, 4), torch.randn(5, 6))
    got = run_file(model.SerializeToString(), tuple(one.numpy() for one in x))
    assert isinstance(got, tuple) and len(got) == 2
    with torch.no_grad():
        for reference, output in zip(net(*x), got, strict=True):
            assert worst_difference(reference.numpy(), output) < 1e-5


@pytest.mark.parametrize("how", ["as it is", "swapped", "swapped and cut"])
def test_export_of_token_numbers_and_attention_gives_what_torch_gives(how: str) -> None:
    net = attentive.made(attentive.Words)
    if how != "as it is":
        replay(PruningPlan([Swap("attention", "heads"), Rows("words", tuple(range(40)), 50, 39)]), net)
    if how == "swapped and cut":
        heads = (Axis("attention.in_proj_weight", 0, 96, tuple(
            tuple(part * 32 + head * 8 + one for part in range(3) for one in range(8)) for head in range(4)
        ), True))  # fmt: skip
        group = Group(
            "attention", "heads", 4,
            (heads, Axis("attention.in_proj_bias", 0, 96, heads.indices, True),
             Axis("attention.out_proj.weight", 1, 32, tuple(tuple(range(h * 8, h * 8 + 8)) for h in range(4)), False)),
            (Count("attention", "num_heads", 1),),
        )  # fmt: skip
        replay(PruningPlan(actions_for([(group, [0, 2])])), net)
    ids = attentive.tokens(9)
    model = to_onnx(net, ids[:1], 20)
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    with torch.no_grad():
        reference = net(ids).numpy()
    assert worst_difference(reference, run_file(model.SerializeToString(), ids.numpy())) < 1e-5
    assert torch_drift(net, model, ids.numpy(), 1e-4).startswith("no single layer drifts")


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
    assert caught.value.where == "layer the network itself, input [1, 4] torch.float32"
    assert capfd.readouterr() == ("", "")
