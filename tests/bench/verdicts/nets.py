"""Networks whose work is known exactly: stacks of equal layers, so that one more layer is a known share more work."""

from __future__ import annotations

from pathlib import Path

from device_agents.bundle import Bundle, Manifest, write_bundle

LAYERS = 33
"""About a millisecond on a PC's core; one layer more is 3.03 % more work."""
WIDTH, SIDE = 24, 16


def stack(folder: Path, layers: int, name: str = "stack", target: str = "host") -> Bundle:
    """A bundle of `layers` equal 3x3 convolutions over [1, 24, 16, 16] float32, in ONNX."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    seeded = np.random.default_rng(7)
    kernel = (seeded.standard_normal((WIDTH, WIDTH, 3, 3)) / np.sqrt(9 * WIDTH / 2)).astype(np.float32)
    nodes = []
    for layer in range(layers):
        source = f"r{layer - 1}" if layer else "x"
        nodes.append(helper.make_node("Conv", [source, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
    nodes.append(helper.make_node("GlobalAveragePool", [f"r{layers - 1}"], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["y"]))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, WIDTH])],
        # A weight of its own for each layer, as real networks have.
        [numpy_helper.from_array(kernel, f"w{layer}") for layer in range(layers)],
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.parent / f"{folder.name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))
    manifest = Manifest(
        name=name,
        model="stack",
        target=target,
        format="onnx",
        runtime="onnxruntime",
        precision="float32",
        file="model.onnx",
        sha256="0" * 64,
        bytes=0,
        inputs=[],
        outputs=[],
    )
    return write_bundle(folder, file, manifest)
