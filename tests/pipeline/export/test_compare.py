"""Comparing torch, float export and INT8: figures by hand, and the very layer where they part."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.export.compare import int8_drift, run_file, torch_drift
from pipeline.export.drift import sqnr, worst_difference
from pipeline.quantization.dynamic import quantise_dynamic
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
from tests.pipeline.export.exported import exported_net

LAYERS = ["norm", "blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.2.norm2", "blocks.2.shortcut.1", "head"]
X = nets.pictures(32).numpy()


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return exported_net("resnet")


@pytest.fixture(scope="module")
def int8(exported: onnx.ModelProto) -> onnx.ModelProto:
    return quantise_static(exported, nets.pictures(64, seed=2).numpy(), "uint8", True, False)


def tampered(model: onnx.ModelProto, layer: str) -> onnx.ModelProto:
    """A copy in which the weights of one layer are in another order."""
    copied = copy.deepcopy(model)
    makers = {output: node for node in copied.graph.node for output in node.output}
    node = next(one for one in copied.graph.node if one.name.rpartition("/")[0] == layer and len(one.input) > 1)
    name = node.input[1]
    if name in makers:  # INT8: behind a DequantizeLinear
        name = makers[name].input[0]
    weight = next(tensor for tensor in copied.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[::-1]), name))
    return copied


def test_worst_difference_is_a_share_of_the_spread() -> None:
    reference = np.array([[0.0, 2.0], [0.0, 2.0]], np.float32)
    assert worst_difference(reference, reference) == 0
    assert worst_difference(reference, reference + np.float32(0.5)) == pytest.approx(0.5)


def test_worst_difference_of_nan_is_never_within_a_bound() -> None:
    reference = np.array([[0.0, 2.0]], np.float32)
    assert not worst_difference(reference, reference * np.nan) <= 1e9


def test_sqnr_is_in_decibels() -> None:
    reference = np.ones(100, np.float32)
    assert sqnr(reference, reference * np.float32(1.1)) == pytest.approx(20, abs=1e-3)
    assert sqnr(reference, reference) > 200


def test_run_file_takes_one_sample_at_a_time(exported: onnx.ModelProto) -> None:
    outputs = run_file(exported.SerializeToString(), X[:3])
    assert outputs.shape == (3, 10)
    assert (run_file(exported.SerializeToString(), X[1:2])[0] == outputs[1]).all()


@pytest.mark.parametrize("name", ["resnet", "mobile", "concat", "flat"])
def test_torch_drift_finds_nothing_where_nothing_drifts(name: str) -> None:
    assert torch_drift(nets.make(name), exported_net(name), X, 1e-3).startswith("no single layer drifts")


@pytest.mark.parametrize("layer", LAYERS)
def test_torch_drift_names_the_tampered_layer(exported: onnx.ModelProto, layer: str) -> None:
    found = torch_drift(nets.make("resnet"), tampered(exported, layer), X, 1e-3)
    assert found.startswith(f"first layer that drifts: {layer} (")


@pytest.mark.parametrize("layer", LAYERS)
def test_int8_drift_names_the_tampered_layer(exported: onnx.ModelProto, int8: onnx.ModelProto, layer: str) -> None:
    found = int8_drift(exported, tampered(int8, layer), X)
    assert found.startswith(f"first layer that drifts: {layer} (")


def test_int8_drift_names_the_worst_layer_where_none_falls(exported: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    assert int8_drift(exported, int8, X).startswith("worst layer: ")


def test_drift_is_found_in_a_file_whose_scales_come_as_it_runs(exported: onnx.ModelProto) -> None:
    """Dynamic INT8 has scales of no dimension among its tensors."""
    assert "head" in int8_drift(exported, quantise_dynamic(exported, True), X)
