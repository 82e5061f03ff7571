"""Graphs as the runtimes run them, of chains whose operators and layers are known."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.gate.graph import Unreadable, delegated, families, read_graph
from pipeline.gate.layers import Layer
from pipeline.gate.onnx_probe import onnx_chain
from pipeline.gate.tflite_probe import tflite_chain

CONVOLUTION = Layer("convolution", 12, 12, (3, 3), height=6, width=5)
LAYERS = [
    CONVOLUTION,
    Layer("convolution", 11, 23, (3, 3), 2, 9, 9),
    Layer("depthwise", 12, 12, (5, 5), height=7, width=7),
    Layer("linear", 16, 16, height=3),
    Layer("linear", 64, 30),
]


def _held(layer: Layer) -> int:
    """Numbers in its weight."""
    return layer.outputs * (1 if layer.kind == "depthwise" else layer.inputs) * layer.kernel[0] * layer.kernel[1]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("activations", [None, "uint8"])
def test_onnx_chain_is_read_as_the_layers_that_it_was_made_of(layer: Layer, activations: str | None) -> None:
    count = 5 if layer.repeatable else 1
    graph = read_graph(onnx_chain(layer, 5, activations), "onnx")
    assert graph.layers == (layer,) * count
    assert graph.weighted == count
    assert graph.floats == (0 if activations else count)
    assert graph.weight_bytes == count * _held(layer) * (1 if activations else 4)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("integers", [False, True])
def test_tflite_chain_is_read_as_the_layers_that_it_was_made_of(layer: Layer, integers: bool) -> None:
    count = 5 if layer.repeatable else 1
    graph = read_graph(tflite_chain(layer, 5, integers), "tflite")
    assert graph.layers == (layer,) * count
    assert (graph.weighted, graph.floats) == (count, 0 if integers else count)
    assert graph.weight_bytes == count * _held(layer) * (1 if integers else 4)
    assert (graph.partitions, graph.outside) == (1, 0)


def test_onnx_graph_has_the_operators_that_are_left_after_optimising() -> None:
    """QuantizeLinear and DequantizeLinear go into the convolutions but for the two ends."""
    graph = read_graph(onnx_chain(CONVOLUTION, 9, "uint8"), "onnx")
    assert (graph.operators["convolution"], graph.conversions) == (9, 2)


def test_onnx_operators_that_the_runtime_leaves_float_are_counted() -> None:
    """On x86 sums of signed activations are not fused; on ARM they are."""
    import platform

    signed = read_graph(onnx_chain(Layer("sum", 8, 8), 9, "int8"), "onnx")
    unsigned = read_graph(onnx_chain(Layer("sum", 8, 8), 9, "uint8"), "onnx")
    assert unsigned.conversions == 2
    if platform.machine() == "x86_64":
        assert signed.conversions > 20


def test_product_of_activations_is_no_layer_that_stayed_float() -> None:
    import onnx
    from onnx import TensorProto, helper

    shape = [4, 4]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "y"], ["z"])],
        "product",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    found = read_graph(model.SerializeToString(), "onnx")
    assert (found.operators, found.weighted, found.floats, found.layers) == ({"linear": 1}, 0, 0, ())


class _Interpreter:
    """Five operators, of which the second and the fourth were taken by a delegate each."""

    def _get_ops_details(self) -> list[dict[str, Any]]:
        plain = [("CONV_2D", [place], [place + 1]) for place in range(5)]
        parts = [("DELEGATE", [1], [2]), ("DELEGATE", [3], [4])]
        return [
            {"index": place, "op_name": name, "inputs": inputs, "outputs": outputs}
            for place, (name, inputs, outputs) in enumerate([*plain, *parts])
        ]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": 5}]


def test_operators_outside_of_delegates_are_found_from_the_outputs() -> None:
    assert delegated(_Interpreter()) == (2, 3)


def test_operators_fall_into_families() -> None:
    assert families(["QLinearConv", "Conv", "Gemm", "Relu", "ReorderInput"]) == {
        "convolution": 2,
        "linear": 1,
        "sum": 2,
    }


@pytest.mark.parametrize(("data", "format_"), [(b"no model", "onnx"), (b"no model", "tflite"), (b"", "ort")])
def test_what_is_no_graph_is_refused_in_our_words(data: bytes, format_: str) -> None:
    with pytest.raises(Unreadable, match=r"can't be read|is not read") as caught:
        read_graph(data, format_)
    assert caught.value.remedy
