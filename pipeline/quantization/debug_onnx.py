"""An ONNX file beside its quantised one, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.export.compare import feeds
from pipeline.export.integers import MOVES
from pipeline.quantization.debug import Held
from pipeline.quantization.qdq import DEQUANTISE, session

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

ACTIVATIONS = ("Relu", "Clip")
"""Move values too, but change them, and are fused with what stands before them."""


class OnnxPair:
    """As pipeline.quantization.debug.Pair asks. Both files have the modules' names and a batch of 1.

    What a runtime fuses counts as one: a convolution whose ReLU is quantised with it is seen behind the ReLU.
    """

    def __init__(self, float_model: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
        wanted = _computed(float_model)
        ranges = _ranges(quantised)
        made = {name for node in quantised.graph.node for name in node.output}
        # A quantised tensor is read behind its DequantizeLinear; the output keeps its own name there.
        names = {one: next(n for n in (f"{one}_{DEQUANTISE}_Output", one) if n in made or n == one) for one in wanted}
        before = {
            node.input[0]
            for node in float_model.graph.node
            if node.op_type in ACTIVATIONS and names.get(node.output[0]) in ranges
        }
        found = [
            (one, names[one]) for one in wanted if names[one] in made and (names[one] in ranges or one not in before)
        ]
        makers = {name: node.name for node in float_model.graph.node for name in node.output}
        self.tensors: Sequence[Held] = [
            Held(makers[one] or one, *ranges.get(other, (None, None))) for one, other in found
        ]
        self._float_names, self._names = [one for one, _ in found], [other for _, other in found]
        # Optimising would fuse away what is asked for here.
        self._float = session(float_model, self._float_names, optimised=False)
        self._quantised = session(quantised, self._names, optimised=False)

    def values(self, x: Array) -> Iterator[list[tuple[Array, Array]]]:
        """See Pair."""
        for feed in feeds(x):
            rows = self._float.run(self._float_names, feed), self._quantised.run(self._names, feed)
            yield list(zip(*rows, strict=True))


def _computed(model: onnx.ModelProto) -> list[str]:
    """Float tensors that a node computes, in order; what only moves values about computes nothing."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    floats = {
        value.name
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        and all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim)
    }
    last = {value.name for value in model.graph.output}
    return [
        name
        for node in model.graph.node
        for name in node.output
        if name in floats and (name in last or node.op_type in ACTIVATIONS or node.op_type not in MOVES)
    ]


def _ranges(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """What the integers behind each tensor can say: one of one scale that a DequantizeLinear gives, moved or not."""
    import numpy as np
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found: dict[str, tuple[float, float]] = {}
    for node in model.graph.node:
        if node.op_type in MOVES and node.op_type not in ACTIVATIONS and len(set(node.input) - constants.keys()) == 1:
            # The quantiser's preparation puts reshapes around linear layers.
            if node.input[0] in found:
                found.update(dict.fromkeys(node.output, found[node.input[0]]))
            continue
        if node.op_type != DEQUANTISE or node.input[0] in constants or len(node.input) < 3:
            continue
        scale, point = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
        if scale.size == 1:
            limits, step, zero = np.iinfo(point.dtype), float(scale.reshape(-1)[0]), int(point.reshape(-1)[0])
            found[node.output[0]] = step * (limits.min - zero), step * (limits.max - zero)
    return found
