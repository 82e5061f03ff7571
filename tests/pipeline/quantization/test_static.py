"""Static INT8: smaller, close to float, one scale a channel, and refused with reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from pipeline.export.compare import run_file, sqnr
from pipeline.export.lean import leanest
from pipeline.quantization.static import NotQuantisable, quantise_static
from tests.pipeline import nets
from tests.pipeline.conftest import Built
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


def test_int8_ranges_come_from_the_calibration_samples(exported: onnx.ModelProto) -> None:
    narrow, wide = (quantise_static(exported, X * np.float32(by), "uint8", True, False) for by in (0.1, 1))
    reference = run_file(exported.SerializeToString(), X)
    assert sqnr(reference, run_file(wide.SerializeToString(), X)) > 6 + sqnr(
        reference, run_file(narrow.SerializeToString(), X)
    )


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
