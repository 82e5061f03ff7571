"""ONNX files written by hand: small, at once, and with exactly the weights that a test is about."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
CHANNELS, CLASSES = 8, 4


def weights(seed: int = 0) -> dict[str, Array]:
    """Of `network`: first [8, 1, 3, 3], second [8, 8, 3, 3], head [512, 4], with biases; normal, as He et al. say."""
    rng = np.random.default_rng(seed)
    return {
        "first.weight": rng.normal(0, 0.47, (CHANNELS, 1, 3, 3)),
        "first.bias": rng.normal(0, 0.1, CHANNELS),
        "second.weight": rng.normal(0, 0.17, (CHANNELS, CHANNELS, 3, 3)),
        "second.bias": rng.normal(0, 0.1, CHANNELS),
        "head.weight": rng.normal(0, 0.06, (CHANNELS * 64, CLASSES)),
        "head.bias": rng.normal(0, 0.1, CLASSES),
    }


def network(held: dict[str, Array]) -> onnx.ModelProto:
    """Two convolutions with ReLUs and a linear layer: [1, 1, 8, 8] > [1, 4]."""
    nodes = [
        helper.make_node("Conv", ["input", "first.weight", "first.bias"], ["a"], "first/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu/Relu"),
        helper.make_node("Conv", ["b", "second.weight", "second.bias"], ["c"], "second/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"], "relu2/Relu"),
        helper.make_node("Flatten", ["d"], ["e"], "flat/Flatten"),
        helper.make_node("Gemm", ["e", "head.weight", "head.bias"], ["output"], "head/Gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def pictures(count: int = 64, seed: int = 1) -> NDArray[np.float32]:
    """float32 [count, 1, 8, 8], normal."""
    return np.random.default_rng(seed).normal(0, 1, (count, 1, 8, 8)).astype(np.float32)
