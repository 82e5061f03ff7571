"""Layers are written as files that their runtimes load, run and don't optimise away."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.costs.form import Form, copies_of, joins
from pipeline.costs.layers import KINDS, Layer
from pipeline.costs.onnx_layer import one_layer_onnx
from tests.prerequisites import require

LAYERS = {
    "conv": Layer("conv", 8, 16, (7, 7), (3, 3), (2, 2)),
    "depthwise": Layer("depthwise", 8, 8, (7, 7), (3, 3), (1, 1), 8),
    "linear": Layer("linear", 8, 24, (16,)),
    "matmul": Layer("matmul", 8, 16, (16,), groups=3),
    "add": Layer("add", 96, 96),
    "pool": Layer("pool", 16, 16, (49,)),
    "softmax": Layer("softmax", 16, 16, (8,), groups=4),
    "norm": Layer("norm", 16, 16, (8,)),
    "gelu": Layer("gelu", 96, 96),
    "sigmoid": Layer("sigmoid", 96, 96),
}
ODD = {
    "one channel": Layer("conv", 1, 16, (14, 14), (3, 3), (2, 2)),
    "one axis": Layer("conv", 4, 8, (20,), (3,), (1,)),
    "grouped": Layer("conv", 8, 16, (7, 7), (3, 3), (1, 1), 2),
    "depthwise of two": Layer("depthwise", 8, 16, (7, 7), (3, 3), (2, 2), 8),
    "one row": Layer("linear", 64, 10, (1,)),
}
ALL = {**LAYERS, **ODD}
PRECISIONS = ("float32", "int8", "dynamic")


def _onnx_output(data: bytes) -> Any:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
    return session.run(None, {one.name: np.ones(one.shape, types[one.type]) for one in session.get_inputs()})[0]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ALL)
def test_onnx_file_runs_and_has_the_ports_that_it_says(name: str, precision: str) -> None:
    data, ports = one_layer_onnx(ALL[name], Form(precision, 4))
    output = _onnx_output(data)
    assert list(output.shape) == ports["outputs"][0]["shape"]
    assert str(output.dtype) == ports["outputs"][0]["dtype"]


@pytest.mark.parametrize(
    ("name", "precision", "operator"),
    [
        ("conv", "float32", "Conv"),
        ("conv", "int8", "QLinearConv"),
        ("linear", "float32", "Gemm"),
        ("linear", "int8", "QLinearMatMul"),
        ("linear", "int8", "QuantizeLinear"),
        ("linear", "dynamic", "DynamicQuantizeMatMul"),
    ],
)
def test_onnxruntime_runs_every_copy(name: str, precision: str, operator: str, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    data, _ = one_layer_onnx(LAYERS[name], Form(precision, 4))
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    left = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    assert sum(count for kind, count in left.items() if kind in (operator, f"Fused{operator}")) == 4, left


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ALL)
def test_tflite_file_runs_and_has_the_ports_that_it_says(name: str, precision: str) -> None:
    import importlib.util

    require(importlib.util.find_spec("ai_edge_litert"), "ai-edge-litert is not installed: ./inv setup tflite")
    from pipeline.costs.tflite_layer import one_layer_tflite
    from pipeline.export.tflite_file import tensors
    from pipeline.export.tflite_run import interpreter

    data, ports = one_layer_tflite(ALL[name], Form(precision, 4))
    running = interpreter(data)
    running.invoke()
    assert list(running.get_output_details()[0]["shape"]) == ports["outputs"][0]["shape"]
    found = tensors(data)
    for mine, theirs in zip([*ports["inputs"], *ports["outputs"]], [*found[0], *found[1]], strict=True):
        assert (mine["dtype"], mine["shape"], mine["name"]) == (theirs["dtype"], theirs["shape"], theirs["name"])


def test_same_layer_gives_the_same_bytes() -> None:
    for name in LAYERS:
        assert one_layer_onnx(LAYERS[name], Form("int8", 2)) == one_layer_onnx(LAYERS[name], Form("int8", 2))


def test_every_kind_is_written() -> None:
    assert set(LAYERS) == set(KINDS)


def test_small_layers_are_copied_more_often_than_large_ones() -> None:
    large = Layer("conv", 256, 256, (28, 28), (3, 3), (1, 1))
    assert copies_of(LAYERS["conv"]) == 10
    assert copies_of(large) == 2
    assert joins(large) and not joins(LAYERS["add"])
