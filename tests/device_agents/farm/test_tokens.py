"""A model of token numbers on a device: int64 goes in as it is, and noise stays within a vocabulary of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle, Tensor, write_bundle
from device_agents.farm.device import Device
from tests.device_agents.farm.jobs import quick_job
from tests.device_agents.tiny import CLASSES, tiny_manifest

TOKENS = 6


def token_bundle(folder: Path, rows: int) -> Bundle:
    """A table of `rows` embeddings whose mean is the answer; a number outside it makes onnxruntime fail."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.random.default_rng(5).standard_normal((rows, CLASSES)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["embedded"]),
        helper.make_node("ReduceMean", ["embedded"], ["y"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1, TOKENS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder.parent / f"{folder.name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    inputs = [Tensor(name="x", dtype="int64", shape=[1, TOKENS])]
    return write_bundle(folder, path, tiny_manifest("tokens", inputs=inputs))


def test_measure_feeds_token_numbers_as_they_are(device: Device, tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    made = token_bundle(tmp_path / "bundles" / "tokens", rows=50)
    seeded = np.random.default_rng(2)
    x, y = seeded.integers(0, 50, (40, TOKENS)), seeded.integers(0, CLASSES, 40)
    np.savez_compressed(tmp_path / "evaluation.npz", x=x, y=y)
    report = device.measure(quick_job(device, made, evaluation=device.push_data(tmp_path / "evaluation.npz")))
    (result,) = report.results
    assert result["error"] is None
    session = onnxruntime.InferenceSession(str(made.model_file), providers=["CPUExecutionProvider"])
    answers = [int(session.run(None, {"x": row[None]})[0].argmax()) for row in x]
    assert result["accuracy"]["value"] == pytest.approx(float(np.mean(answers == y)), abs=1e-9)


def test_measure_without_evaluation_makes_tokens_that_any_vocabulary_has(device: Device, tmp_path: Path) -> None:
    made: Any = token_bundle(tmp_path / "bundles" / "tokens", rows=2)
    (result,) = device.measure(quick_job(device, made)).results
    assert result["error"] is None
    assert result["blocks"]
