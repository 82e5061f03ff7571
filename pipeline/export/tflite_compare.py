"""Which layer of a .tflite file drifts first: against torch, or a quantised file against its float one (rule 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgewright.quiet import quiet
from pipeline.export.drift import first_layer, first_module, worst_difference
from pipeline.export.tflite_file import dtype_of, name_of, operation_name, operations, parse, scales, tensors
from pipeline.export.tflite_run import fed, interpreter
from pipeline.export.to_onnx import OUTPUT, module_of
from pipeline.export.to_tflite import channels_last

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[Any]

MOVING = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "PAD", "SLICE", "STRIDED_SLICE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that compute nothing."""


def float_drift(net: nn.Module, named: bytes, x: Array, bound: float) -> str:
    """The first layer whose output in the float file departs from torch's by more than `bound` of its spread.

    named: a file with the modules' names (tflite_names.with_module_names); x: [N, ...], the first sample is taken.
    """
    wanted = _node_values(net, x[:1])
    seen: dict[str, Array] = {}
    found: list[tuple[str, Array]] = []
    for layer, tensor, value in _computed(named, x[:1]):
        reference = _as_laid_out(wanted.get(tensor.partition("@")[2] or tensor), value)
        if reference is not None:
            seen[layer] = reference
            found.append((layer, value))
    return first_module(seen, found, bound)


def quantised_drift(float_named: bytes, quantised_named: bytes, x: Array) -> str:
    """The first layer whose SQNR against the float file falls steeply, or the worst one; x: [N, ...]."""
    other = {tensor: value for _, tensor, value in _computed(quantised_named, x)}
    results: dict[str, tuple[Array, Array]] = {}
    for layer, tensor, value in _computed(float_named, x):
        if tensor in other and other[tensor].shape == value.shape:
            # In the order of the layers' last tensors: what stands in between may be squares and differences.
            results.pop(layer, None)
            results[layer] = value, other[tensor]
    return first_layer((layer or "the network itself", *pair) for layer, pair in results.items())


def in_integers(data: bytes) -> bool:
    """Whether all that is computed is computed in integers; quantising inputs and dequantising outputs doesn't count.

    Then one runtime gives the same to the bit on every machine.
    """
    model = parse(data)
    graph = model.subgraphs[0]
    done = [one for one in operations(model) if one.kind not in ("QUANTIZE", "DEQUANTIZE")]
    made = [graph.tensors[number] for one in done for number in one.outputs]
    return bool(made) and all(dtype_of(one) in ("int8", "uint8", "int32", "bool") for one in made)


def output_scale(data: bytes) -> float | None:
    """The step of the first output's values where it is an integer or comes out of a dequantise, else None."""
    model = parse(data)
    graph = model.subgraphs[0]
    number = int(graph.outputs[0])
    for one in operations(model):
        if one.kind == "DEQUANTIZE" and number in one.outputs:
            number = one.inputs[0]
    found, _ = scales(graph.tensors[number])
    return float(found[0]) if found is not None and len(found) == 1 else None


def _computed(named: bytes, x: Array) -> Iterator[tuple[str, str, Array]]:
    """(layer, tensor's name, its values over `x` as floats) of what the graph computes, in its order."""
    import numpy as np

    model = parse(named)
    graph = model.subgraphs[0]
    entering, _ = tensors(named)
    running = interpreter(named, every_tensor=True)
    source = running.get_input_details()[0]["index"]
    # A layer's last tensor counts, what only moves values about is none.
    wanted = [
        (one, one.outputs[0])
        for one in operations(model)
        if one.kind not in MOVING or one.outputs[0] in {int(number) for number in graph.outputs}
    ]
    rows: dict[int, list[Array]] = {number: [] for _, number in wanted}
    for sample in x:
        running.set_tensor(source, fed(sample[None], entering[0]))
        running.invoke()
        for _, number in wanted:
            rows[number].append(running.get_tensor(number).copy())
    for one, number in wanted:
        values = np.concatenate(rows[number])
        step, points = scales(graph.tensors[number])
        if step is not None:
            values = (values.astype(np.float32) - points[0]) * step[0]
        if values.dtype.kind == "f" and np.isfinite(values).all():  # a mask may be full of -inf
            yield module_of(operation_name(graph, one)), name_of(graph.tensors[number]), values


def _node_values(net: nn.Module, x: Array) -> dict[str, Array]:
    """What every node of the network's torch.export graph gives, by the names that the converter met it with."""
    import torch
    from torch import fx

    network, fed_with = channels_last(net, (torch.from_numpy(x.copy()),))
    found: dict[str, Array] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                found[n.name] = value.detach().numpy().copy()
            return value

    with quiet(), torch.no_grad():
        result = Recorder(torch.export.export(network, fed_with, strict=False).module()).run(*fed_with)
    if isinstance(result, torch.Tensor):
        found[OUTPUT] = result.numpy()
    return found


def _as_laid_out(reference: Array | None, value: Array) -> Array | None:
    """Torch's tensor in the axes of the file's; where both orders fit, the nearer one. None where none does."""
    import numpy as np

    if reference is None:
        return None
    orders = [reference, *([np.moveaxis(reference, 1, -1)] if reference.ndim > 2 else [])]
    fitting = [one for one in orders if one.shape == value.shape]
    return min(fitting, key=lambda one: worst_difference(one, value), default=None)
