"""Torch, float export and INT8 on the same real inputs: how far apart, and which layer drifts first (rule 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from pipeline.export.drift import first_layer, first_module, module_outputs
from pipeline.export.integers import SIGNED, signed_activations
from pipeline.export.to_onnx import INPUT, module_of, numbered

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[Any]
    Arrays = tuple[Array, ...]

ORT = b"ORTM"
"""What bytes 4 to 8 of an .ort file are."""


@overload
def run_file(model: bytes, x: Array) -> Array: ...
@overload
def run_file(model: bytes, x: Arrays) -> Array | Arrays: ...
def run_file(model: bytes, x: Array | Arrays) -> Array | Arrays:
    """Outputs of an ONNX or .ort file with a batch of 1 over `x` [N, ...], on one thread.

    Signed activations are computed in integers, as on the chips that they are for, at whatever cost of time.
    A tuple in the place of `x` feeds as many inputs; a file of several outputs gives a tuple of them.
    """
    import numpy as np

    session = _session(model)
    rows = [session.run(None, feed) for feed in feeds(x)]
    outputs = tuple(np.concatenate(column) for column in zip(*rows, strict=True))
    return outputs[0] if len(outputs) == 1 else outputs


def feeds(x: Array | Arrays) -> Iterator[dict[str, Array]]:
    """What a file with a batch of 1 is fed with, sample by sample; `x` [N, ...], or one such array an input."""
    arrays = x if isinstance(x, tuple) else (x,)
    names = numbered(INPUT, len(arrays))
    for samples in zip(*arrays, strict=True):
        yield {name: sample[None] for name, sample in zip(names, samples, strict=True)}


def torch_drift(net: nn.Module, named: onnx.ModelProto, x: Array | Arrays, bound: float) -> str:
    """The first module whose output in the float export departs from torch's by more than `bound`, with the figure."""
    first = tuple(one[:1] for one in (x if isinstance(x, tuple) else (x,)))
    makers = {output: node.name for node in named.graph.node for output in node.output}
    tensors = _every_tensor(named, first).items()
    found = ((module_of(makers[tensor]), value) for tensor, value in tensors)
    return first_module(module_outputs(net, first), found, bound)


def int8_drift(float_model: onnx.ModelProto, int8_model: onnx.ModelProto, x: Array | Arrays, fall: float = 6.0) -> str:
    """The first layer whose SQNR falls by more than `fall` dB below the layer before it, or the worst one."""
    import numpy as np

    reference, other = _every_tensor(float_model, x), _every_tensor(int8_model, x)
    layers = _layers(float_model)
    pairs = []
    for tensor, value in reference.items():
        match = other.get(f"{tensor}_DequantizeLinear_Output", other.get(tensor))
        if match is not None and match.shape == value.shape and np.isfinite(value).all():
            pairs.append((layers[tensor], value, match))
    return first_layer(pairs, fall)


def _layers(model: onnx.ModelProto) -> dict[str, str]:
    """The layer behind each tensor: of an activation, the one that it is fused with when quantised."""
    constants = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, str] = {}
    for node in model.graph.node:
        sources = [name for name in node.input if name and name not in constants]
        own = module_of(node.name) or node.name
        weighted = node.op_type in ("Conv", "Gemm", "MatMul")
        layer = own if weighted or len(sources) != 1 else found.get(sources[0], own)
        found.update(dict.fromkeys(node.output, layer))
    return found


def _session(model: bytes, optimised: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if model[4:8] != ORT and signed_activations(model):
        options.add_session_config_entry(SIGNED, "1")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _every_tensor(model: onnx.ModelProto, x: Array | Arrays) -> dict[str, Array]:
    """Every float tensor that the graph computes, in graph order, stacked over the samples of `x`."""
    import copy

    import numpy as np
    import onnx

    probe = copy.deepcopy(model)
    inferred = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    names = []
    given = {value.name for value in model.graph.output}
    for node in model.graph.node:
        for tensor in node.output:
            if tensor in given:
                names.append(tensor)
                continue
            value = inferred.get(tensor)
            if value is not None and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
                names.append(tensor)
                probe.graph.output.append(value)
    # Optimising would fuse away what is asked for here.
    session = _session(probe.SerializeToString(), optimised=False)
    rows = [session.run(names, feed) for feed in feeds(x)]
    return {name: np.concatenate([np.atleast_1d(row[place]) for row in rows]) for place, name in enumerate(names)}
