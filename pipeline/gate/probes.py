"""Probes: tiny models as bundles, each a chain of equal layers, made when a question is put to a device."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from device_agents.bundle import Bundle, Manifest, Tensor, write_bundle
from pipeline.gate.graph import Graph
from pipeline.gate.layers import Kind, Layer
from pipeline.gate.onnx_probe import onnx_chain
from pipeline.gate.tflite_probe import tflite_chain

MODEL = "probe"
"""The model that the ledger files probes under: they are in no series of a model of the user's."""
TINY: dict[Kind, Layer] = {
    "sum": Layer("sum", 16, 16),
    "convolution": Layer("convolution", 16, 16, (3, 3)),
    "linear": Layer("linear", 16, 16),
}
"""One layer of each family of operators, with next to nothing to compute."""
CHAIN = 33
"""Tiny layers in a row: 32 more than in the empty graph."""
REPEATED = 4
"""A layer that can follow itself is timed this many times in a row, so that its time stands out."""
FEW = 3
"""Of a family with fewer operators than this the cost is taken as a sum's."""
HELD = 0.2
"""A layer is probed where all like it hold this share of the MACs."""
BLOCK = 16
"""Channels that CPUs with wide registers take at once, tried beside the target's alignment."""
WORTH_STREAMING = 2 << 20
"""Bytes of weights from which on memory may bound a variant: fewer fit into a cache."""
STREAMED = 16 << 20
"""Bytes of weights of the streaming probe: more than the caches of boards hold."""
ROWS = 1024


class Kit:
    """The probes of one job, by name, each made once. folder: where their bundles lie; target: its name."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder, self.target = folder, target
        self.bundles: dict[str, Bundle] = {}

    def add(self, runtime: str, activations: str | None, layer: Layer, count: int) -> str:
        """The name of a chain of `count` layers for a runtime; activations: as in onnx_chain, None for float32."""
        name = f"{runtime} {'int8' if activations else 'float32'}: {count} x {layer}"
        if name not in self.bundles:
            self.bundles[name] = self._made(name, runtime, activations, layer, count)
        return name

    def _made(self, name: str, runtime: str, activations: str | None, layer: Layer, count: int) -> Bundle:
        onnx = runtime == "onnxruntime"
        data = onnx_chain(layer, count, activations) if onnx else tflite_chain(layer, count, activations is not None)
        folder = self.folder / f"{len(self.bundles)}"
        file = self.folder / f"{folder.name}.{'onnx' if onnx else 'tflite'}"
        file.write_bytes(data)
        entering, leaving = _onnx_tensors(layer) if onnx else _tflite_tensors(data)
        manifest = Manifest(
            name=name,
            model=MODEL,
            target=self.target,
            format=file.suffix[1:],
            runtime=runtime,
            precision="int8" if activations else "float32",
            file=f"model{file.suffix}",
            sha256="0" * 64,
            bytes=0,
            inputs=entering,
            outputs=leaving,
        )
        return write_bundle(folder, file, manifest)


def families(graph: Graph) -> dict[Kind, int]:
    """How many operators a graph has of each family that is probed."""
    found: Counter[Kind] = Counter()
    for kind, count in graph.operators.items():
        found[kind if count >= FEW else "sum"] += count
    return dict(found)


def suspects(graph: Graph, alignment: int) -> list[tuple[Layer, Layer, int]]:
    """(a layer, the same with its channels at the next multiple, how many are like it): the dearest layer that is off
    the target's alignment, and the dearest that is off BLOCK.

    The last layer's outputs are the classes, so it doesn't count.
    """
    total = sum(layer.macs for layer in graph.layers)
    found: dict[tuple[Layer, Layer], int] = {}
    for multiple in sorted({alignment, BLOCK}):
        off = Counter(layer for layer in graph.layers[:-1] if layer.off(multiple))
        dearest = max(off, key=lambda layer: layer.macs * off[layer], default=None)
        if dearest is not None and dearest.macs * off[dearest] >= HELD * total:
            found[dearest, dearest.aligned(multiple)] = off[dearest]
    return [(layer, wider, count) for (layer, wider), count in found.items()]


def dearest(graph: Graph) -> tuple[Layer, int] | None:
    """The layer that most MACs are in, all like it taken together, and how many those are."""
    counted = Counter(graph.layers)
    layer = max(counted, key=lambda one: one.macs * counted[one], default=None)
    return None if layer is None else (layer, counted[layer])


def streaming_layer(integers: bool) -> Layer:
    """A linear layer over one row with STREAMED bytes of weights."""
    return Layer("linear", ROWS, STREAMED // ROWS // (1 if integers else 4))


def _onnx_tensors(layer: Layer) -> tuple[list[Tensor], list[Tensor]]:
    shape: list[int | str] = [1, layer.inputs, layer.height, layer.width]
    if layer.kind == "linear":
        shape = [layer.height, layer.inputs]
    return [Tensor(name="input", dtype="float32", shape=shape)], []


def _tflite_tensors(data: bytes) -> tuple[list[Tensor], list[Tensor]]:
    from pipeline.export.tflite_file import tensors

    entering, leaving = tensors(data)
    return [Tensor(**one) for one in entering], [Tensor(**one) for one in leaving]
