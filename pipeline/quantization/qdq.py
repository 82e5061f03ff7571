"""Reads and edits ONNX graphs in QDQ form: what is quantised, where a layer's bias lies, any tensor's values."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True)
class Bias:
    """The constant that holds a layer's bias in the float file; INT8 files have it as `<tensor>_quantized`, or so."""

    tensor: str

    @property
    def integers(self) -> str:
        return f"{self.tensor}_quantized"


def quantised_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that quantise or dequantise."""
    return [node.name for node in model.graph.node if node.op_type in (QUANTISE, DEQUANTISE)]


def bias_of(model: onnx.ModelProto, name: str) -> Bias | None:
    """The bias of the weighted node `name` of a float file: its own third input, or what an Add behind a MatMul adds.

    None where there is none, or where the node's result is read by others too.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.name == name)
    if node.op_type in ("Conv", "Gemm"):
        return Bias(node.input[2]) if len(node.input) > 2 and node.input[2] in constants else None
    readers = [one for one in model.graph.node if node.output[0] in one.input]
    if node.op_type != "MatMul" or len(readers) != 1 or readers[0].op_type != "Add":
        return None
    added = next((one for one in readers[0].input if one in constants), None)
    return Bias(added) if added is not None and len(constants[added].dims) == 1 else None


def with_bias(model: onnx.ModelProto, bias: Bias, shift: Array) -> None:
    """Adds `shift` [channels] to a bias of an INT8 file, in place: in its scale's steps where it is INT32.

    A bias that the quantiser turned into anything else is left as it is.
    """
    import numpy as np
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if bias.tensor in constants:
        held = constants[bias.tensor]
        values = numpy_helper.to_array(held)
        held.CopyFrom(numpy_helper.from_array((values + shift.reshape(values.shape)).astype(values.dtype), held.name))
        return
    held = constants.get(bias.integers)
    reader = next(
        (node for node in model.graph.node if node.op_type == DEQUANTISE and bias.integers in node.input), None
    )
    if held is None or reader is None or held.data_type != TensorProto.INT32:
        return
    values = numpy_helper.to_array(held).astype(np.float64)
    scale = numpy_helper.to_array(constants[reader.input[1]]).astype(np.float64)
    limits = np.iinfo(np.int32)
    moved = np.clip(np.round(values + shift / scale), limits.min, limits.max).astype(np.int32)
    held.CopyFrom(numpy_helper.from_array(moved, held.name))


def session(model: onnx.ModelProto, tensors: Collection[str], optimised: bool) -> Any:
    """An onnxruntime session on one thread that also gives `tensors`; not optimised: each is computed as it stands.

    Optimised, what is fused around them is computed as on a device.
    """
    import onnx
    import onnxruntime

    probe = copy.deepcopy(model)
    given = {value.name for value in probe.graph.output}
    for name in dict.fromkeys(tensors):
        if name not in given:
            probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
