"""Static INT8: smaller, close to float, one scale a channel, and refused with reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from pipeline.export.compare import int8_drift, run_file
from pipeline.export.drift import sqnr
from pipeline.export.lean import leanest
from pipeline.export.to_onnx import to_onnx
from pipeline.quantization import static
from pipeline.quantization.refusal import BadCalibration, NotQuantisable
from pipeline.quantization.static import has_attention, quantise_static
from tests.pipeline import nets
from tests.pipeline.conftest import Built
from tests.pipeline.export import attentive
from tests.pipeline.export.exported import exported_net

X = nets.pictures(64, seed=2).numpy()


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return exported_net("vgg")


def _scales(model: onnx.ModelProto) -> list[tuple[int, int]]:
    """(scales, output channels) of every convolution's weight."""
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            dequantise = makers[node.input[1]]
            weight, scale = (constants[name] for name in dequantise.input[:2])
            assert weight.data_type == TensorProto.INT8
            found.append((numpy_helper.to_array(scale).size, weight.dims[0]))
    return found


def _activation_types(model: onnx.ModelProto) -> set[int]:
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {constants[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"}


def test_int8_is_smaller_and_close_to_float(exported: onnx.ModelProto) -> None:
    int8 = quantise_static(exported, X, "uint8", True, False)
    assert len(leanest(int8)) < len(leanest(exported)) * 0.6
    reference, got = (run_file(model.SerializeToString(), X) for model in (exported, int8))
    assert sqnr(reference, got) > 20
    assert (reference.argmax(1) == got.argmax(1)).mean() > 0.9


def test_int8_has_one_scale_a_channel_or_one_for_all(exported: onnx.ModelProto) -> None:
    per_channel = _scales(quantise_static(exported, X, "uint8", True, False))
    assert len(per_channel) == 3
    assert all(scales == channels > 1 for scales, channels in per_channel)
    assert all(scales == 1 for scales, _ in _scales(quantise_static(exported, X, "uint8", False, False)))


@pytest.mark.parametrize(("activations", "kind"), [("uint8", TensorProto.UINT8), ("int8", TensorProto.INT8)])
def test_int8_activations_are_of_the_targets_type(exported: onnx.ModelProto, activations: str, kind: int) -> None:
    assert _activation_types(quantise_static(exported, X, activations, True, False)) == {kind}


def test_int8_symmetric_activations_have_their_zero_point_at_zero(exported: onnx.ModelProto) -> None:
    model = quantise_static(exported, X, "int8", True, True)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    points = {int(constants[node.input[2]]) for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert points == {0}


@pytest.mark.parametrize(("activations", "symmetric"), [("uint8", False), ("int8", True)])
def test_min_and_max_give_the_file_that_onnxruntimes_own_calibration_gives(
    exported: onnx.ModelProto, activations: str, symmetric: bool, tmp_path: Path
) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    fed = iter([{"input": sample[None]} for sample in X])

    class Reader:
        def get_next(self) -> dict[str, Any] | None:
            return next(fed, None)

    quant_pre_process(exported, str(tmp_path / "ready.onnx"))
    quantize_static(
        str(tmp_path / "ready.onnx"),
        str(tmp_path / "theirs.onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8 if activations == "uint8" else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"ActivationSymmetric": symmetric},
    )
    ours = quantise_static(exported, X, activations, True, symmetric)
    assert leanest(ours) == leanest(onnx.load(str(tmp_path / "theirs.onnx")))


def test_layers_are_named_after_the_modules(exported: onnx.ModelProto, vit: onnx.ModelProto) -> None:
    assert static.OnnxForm(vit, "uint8", True, False).layers == ["qkv", "out", "rise", "fall", "head"]
    form = static.OnnxForm(exported, "uint8", True, False)
    assert len(form.layers) == 4
    assert form.layers == form.correctable


def test_no_calibration_is_refused(exported: onnx.ModelProto) -> None:
    with pytest.raises(BadCalibration, match="no calibration samples"):
        quantise_static(exported, X[:0], "uint8", True, False)


def test_int8_ranges_come_from_the_calibration_samples(exported: onnx.ModelProto) -> None:
    narrow, wide = (quantise_static(exported, X * np.float32(by), "uint8", True, False) for by in (0.1, 1))
    reference = run_file(exported.SerializeToString(), X)
    assert sqnr(reference, run_file(wide.SerializeToString(), X)) > 6 + sqnr(
        reference, run_file(narrow.SerializeToString(), X)
    )


@pytest.fixture(scope="module")
def vit() -> onnx.ModelProto:
    return to_onnx(attentive.made(attentive.Patches), nets.pictures(1), 20)


def test_attention_is_found_where_a_softmax_weighs_activations(exported: onnx.ModelProto, vit: onnx.ModelProto) -> None:
    class Last(nn.Module):
        """A softmax whose output meets a weight, not another activation."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).softmax(-1))

    assert has_attention(vit)
    assert has_attention(to_onnx(attentive.made(attentive.Words), attentive.tokens(1), 20))
    assert not has_attention(exported)
    assert not has_attention(to_onnx(Last(), torch.ones(1, 3, 4), 20))


def test_of_attention_only_the_linear_layers_are_quantised_and_it_is_closer_for_it(
    vit: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = run_file(vit.SerializeToString(), X)
    linear = quantise_static(vit, X, "uint8", True, False)
    readers = {name: node for node in linear.graph.node for name in node.input}
    softmax = next(node for node in linear.graph.node if node.op_type == "Softmax")
    assert readers[softmax.output[0]].op_type == "MatMul"
    conv = next(node for node in linear.graph.node if node.op_type == "Conv")
    assert conv.input[1] in {tensor.name for tensor in linear.graph.initializer}
    int8 = [tensor for tensor in linear.graph.initializer if tensor.data_type == TensorProto.INT8 and tensor.dims]
    assert sum(len(tensor.dims) == 2 for tensor in int8) == 5  # qkv, out, rise, fall, head
    monkeypatch.setattr(static, "has_attention", lambda model: False)
    everything = quantise_static(vit, X, "uint8", True, False)
    close, far = (sqnr(reference, run_file(one.SerializeToString(), X)) for one in (linear, everything))
    assert close > far + 1
    assert close > 35


def test_int8_takes_token_numbers_and_several_inputs() -> None:
    net, ids = attentive.made(attentive.Words), attentive.tokens(32)
    model = to_onnx(net, ids[:1], 20)
    int8 = quantise_static(model, ids.numpy(), "uint8", True, False)
    assert int8.graph.input[0].type.tensor_type.elem_type == TensorProto.INT64
    reference, got = (run_file(one.SerializeToString(), ids.numpy()) for one in (model, int8))
    assert sqnr(reference, got) > 30
    table = next(tensor for tensor in int8.graph.initializer if list(tensor.dims) == [50, 32])
    assert table.data_type in (TensorProto.INT8, TensorProto.UINT8)
    assert "layer" in int8_drift(model, int8, ids.numpy())
    pair, x = attentive.made(attentive.Pair), (torch.randn(32, 4), torch.randn(32, 6))
    model, arrays = to_onnx(pair, (x[0][:1], x[1][:1]), 20), tuple(one.numpy() for one in x)
    int8 = quantise_static(model, arrays, "uint8", True, False)
    for one, other in zip(*(run_file(made.SerializeToString(), arrays) for made in (model, int8)), strict=True):
        assert sqnr(one, other) > 20


@pytest.mark.parametrize(
    "samples",
    [np.ones((4, 1, 9, 9), np.float32), np.ones((4, 64), np.float32), np.ones((4, 1, 8, 8), np.float64)],
    ids=["shape", "rank", "dtype"],
)
def test_wrong_calibration_is_refused_in_one_line(exported: onnx.ModelProto, samples: Any) -> None:
    with pytest.raises(NotQuantisable, match="refused the model") as caught:
        quantise_static(exported, samples, "uint8", True, False)
    assert "\n" not in caught.value.what
    assert caught.value.remedy


def test_int8_of_the_digits_agrees_with_float(built: Built) -> None:
    for variant in ("int8", "pruned+int8"):
        figures = built.artifact(f"{variant}/check").summary
        assert figures["agreement"] >= 0.97
        assert figures["samples"] == 200
        assert abs(figures["metric_int8"] - figures["metric_float"]) <= 0.02
