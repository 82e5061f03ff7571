"""Files in integers throughout: told from those that only store integers, and the output's step read from the file."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest

from pipeline.export.compare import run_file
from pipeline.export.integers import in_integers, output_scale, signed_activations
from pipeline.export.to_onnx import to_onnx
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
from tests.pipeline.export import attentive
from tests.pipeline.export.exported import exported_net

X = nets.pictures(32).numpy()


@pytest.fixture(scope="module")
def int8() -> onnx.ModelProto:
    return quantise_static(exported_net("mobile"), X, "uint8", True, False)


@pytest.mark.parametrize("name", ["resnet", "mobile", "flat"])
def test_int8_convolutional_net_is_in_integers(name: str) -> None:
    model = exported_net(name)
    assert not in_integers(model)
    assert output_scale(model) is None
    assert in_integers(quantise_static(model, X, "uint8", True, False))


def test_net_with_attention_is_not_in_integers_though_its_layers_are() -> None:
    model = to_onnx(attentive.made(attentive.Patches), nets.pictures(1), 20)
    quantised = quantise_static(model, X, "uint8", True, False)
    assert any(node.op_type == "DequantizeLinear" for node in quantised.graph.node)
    assert not in_integers(quantised)


@pytest.mark.parametrize("kind", ["Sigmoid", "Softmax", "Div"])
def test_float_arithmetic_in_between_is_not_in_integers(int8: onnx.ModelProto, kind: str) -> None:
    changed = copy.deepcopy(int8)
    next(node for node in changed.graph.node if node.op_type == "ReduceMean").op_type = kind
    assert not in_integers(changed)


def test_weight_left_in_float_is_not_in_integers(int8: onnx.ModelProto) -> None:
    changed = copy.deepcopy(int8)
    makers = {output: node for node in changed.graph.node for output in node.output}
    conv = next(node for node in changed.graph.node if node.op_type == "Conv")
    conv.input[1] = makers[conv.input[1]].input[0]  # the initialiser itself
    assert not in_integers(changed)


def test_output_scale_is_the_step_of_what_the_file_gives(int8: onnx.ModelProto) -> None:
    scale = output_scale(int8)
    assert scale is not None
    steps = run_file(int8.SerializeToString(), X) / scale
    assert len(np.unique(np.round(steps))) > 20
    assert np.abs(steps - np.round(steps)).max() < 1e-4


def test_signed_activations_are_told_from_signed_weights(int8: onnx.ModelProto) -> None:
    signed = quantise_static(exported_net("mobile"), X, "int8", True, True)
    assert not signed_activations(int8.SerializeToString())
    assert signed_activations(signed.SerializeToString())
    # On x86 half of it would run in float; run_file gives what a chip with signed products does.
    scale = output_scale(signed)
    assert scale is not None
    steps = run_file(signed.SerializeToString(), X) / scale
    assert np.abs(steps - np.round(steps)).max() < 1e-4
