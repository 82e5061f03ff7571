"""A tiny ONNX classifier made by hand, its bundle, and evaluation files for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle, Manifest, Tensor, write_bundle

CLASSES = 4
SIDE = 8


def tiny_model(path: Path, *, width: int = 8, batch: int | None = None, layers: int = 2) -> Path:
    """Writes a small convolutional classifier: x [batch, 1, 8, 8] float32 > y [batch, 4]; batch None leaves it open."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    seeded = np.random.default_rng(7)
    nodes, weights = [], []
    last, channels = "x", 1
    for layer in range(layers):
        kernel = seeded.standard_normal((width, channels, 3, 3)).astype(np.float32) / 3
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        last, channels = f"r{layer}", width
    weights.append(numpy_helper.from_array(seeded.standard_normal((width, CLASSES)).astype(np.float32), "w"))
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["y"]))
    open_batch: Any = batch or "batch"
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [open_batch, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [open_batch, CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def tiny_bundle(folder: Path, name: str = "tiny", **options: Any) -> Bundle:
    """A bundle of tiny_model."""
    model = tiny_model(folder.parent / f"{folder.name}.onnx", **options)
    return write_bundle(folder, model, tiny_manifest(name))


def tiny_manifest(name: str = "tiny", **changes: Any) -> Manifest:
    """Its manifest; the file's digest and size are filled in by write_bundle."""
    return Manifest(
        **{
            "name": name,
            "model": "tiny",
            "target": "raspberry-pi",
            "format": "onnx",
            "runtime": "onnxruntime",
            "precision": "float32",
            "file": "model.onnx",
            "sha256": "0" * 64,
            "bytes": 0,
            "inputs": [Tensor(name="x", dtype="float32", shape=["batch", 1, SIDE, SIDE])],
            "outputs": [Tensor(name="y", dtype="float32", shape=["batch", CLASSES])],
            **changes,
        }
    )


def evaluation(path: Path, count: int = 150) -> tuple[Path, Any, Any]:
    """An evaluation file of random samples; (path, x [count, 1, 8, 8] float32, y [count] int64)."""
    import numpy as np

    seeded = np.random.default_rng(3)
    x = seeded.standard_normal((count, 1, SIDE, SIDE)).astype(np.float32)
    y = seeded.integers(0, CLASSES, count)
    np.savez(path, x=x, y=y)
    return path, x, y
