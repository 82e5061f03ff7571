"""Reads .tflite files by their flatbuffer schema: operators, inputs and outputs, weights, and needless transposes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.export.size import FileSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDENTIFIER = b"TFL3"
CHANNELS_LAST = "channels-last"


class NotTflite(EdgewrightError):
    """A file that is no TensorFlow Lite model, or a damaged one."""


@dataclass(frozen=True)
class Operation:
    """One operator of the graph: inputs and outputs are numbers of tensors, -1 where an optional one is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


def parse(data: bytes) -> Any:
    """The file as the schema's ModelT, its first graph the one that runs. Raises NotTflite."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != IDENTIFIER:
        raise NotTflite("These bytes are no TensorFlow Lite model", where="byte 4", remedy="export the model again")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        model.subgraphs[0].operators  # noqa: B018  (a damaged file has none)
    except Exception as error:  # the generated reader raises whatever the damage leads to
        raise NotTflite(
            f"The TensorFlow Lite model can't be read: {type(error).__name__}: {error}",
            where="its flatbuffer",
            remedy="export the model again",
        ) from error
    for buffer in model.buffers:
        if (
            buffer.offset > 1
        ):  # large models keep their weights behind the flatbuffer, which old interpreters can't read
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def operations(model: Any) -> list[Operation]:
    """The operators of the graph that runs, in the order in which they run."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    kinds = []
    for code in model.operatorCodes:
        kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        custom = code.customCode
        kinds.append(custom.decode() if kind == "CUSTOM" and custom else kind)

    def numbers(values: Any) -> tuple[int, ...]:
        return () if values is None else tuple(int(value) for value in values)

    return [
        Operation(kinds[one.opcodeIndex], numbers(one.inputs), numbers(one.outputs), one.builtinOptions)
        for one in model.subgraphs[0].operators
    ]


def operators(data: bytes) -> dict[str, int]:
    """How often each operator stands in the graph, by its name in the schema (CONV_2D ...), in alphabetical order."""
    return dict(sorted(Counter(one.kind for one in operations(parse(data))).items()))


def tensors(data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(inputs, outputs) as device_agents.bundle.Tensor has them; layout, scale and zero_point only where they apply.

    An input of three to five axes that stands for floats is one of to_tflite's channels-last ones.
    """
    graph = parse(data).subgraphs[0]

    def described(number: int, entering: bool) -> dict[str, Any]:
        tensor = graph.tensors[number]
        found: dict[str, Any] = {"name": name_of(tensor), "dtype": dtype_of(tensor), "shape": shape_of(tensor)}
        scale, points = scales(tensor)
        if scale is not None:
            found |= {"scale": float(scale[0]), "zero_point": int(points[0])}
        if entering and 3 <= len(found["shape"]) <= 5 and (scale is not None or found["dtype"].startswith("float")):
            found["layout"] = CHANNELS_LAST
        return found

    return [described(int(one), True) for one in graph.inputs], [described(int(one), False) for one in graph.outputs]


def file_size(data: bytes) -> FileSize:
    """Elements of all constants, MACs of a pass, and the weights of what multiplies them: float, FP16 or INT8.

    Weights are listed with their output channels first, as torch has them, by the name of what the operator gives.
    """
    import numpy as np

    model = parse(data)
    graph, done = model.subgraphs[0], operations(model)
    constants = constant_tensors(model)
    # FP16 weights, and INT8 ones that are only stored so, stand behind a DEQUANTIZE.
    behind = {one.outputs[0]: one.inputs[0] for one in done if one.kind == "DEQUANTIZE" and one.inputs[0] in constants}
    macs, weights = 0, {}
    counted: dict[int, tuple[int, int]] = {}
    for one in done:
        if one.kind not in _WEIGHED:
            continue
        macs += _macs(one, graph.tensors)
        for operand in _WEIGHED[one.kind]:
            place = behind.get(one.inputs[operand], one.inputs[operand])
            if place not in constants:
                continue
            tensor, values = graph.tensors[place], constants[place]
            weights[operation_name(graph, one)] = _channels_first(one.kind, shape_of(tensor))
            _, points = scales(tensor)
            zero = np.unique(points) if points is not None else np.zeros(1)
            counted[tensor.buffer] = int((values == zero[0]).sum()) if zero.size == 1 else 0, values.size
    buffers = {graph.tensors[place].buffer: values.size for place, values in constants.items()}
    return FileSize(
        sum(buffers.values()),
        macs,
        weights,
        sum(zeros for zeros, _ in counted.values()),
        sum(of for _, of in counted.values()),
    )


def superfluous_transposes(data: bytes) -> list[str]:
    """TRANSPOSE operators that only move a layout about, by the name of what they give.

    At the graph's inputs and outputs, behind one another, and in a graph without attention all of them: a network of
    convolutions whose input is channels-last needs none.
    """
    model = parse(data)
    graph, done = model.subgraphs[0], operations(model)
    attention = any(one.kind == "BATCH_MATMUL" for one in done)
    border = {int(number) for number in [*graph.inputs, *graph.outputs]}
    moved = {number for one in done if one.kind == "TRANSPOSE" for number in one.outputs}
    return [
        name_of(graph.tensors[one.outputs[0]])
        for one in done
        if one.kind == "TRANSPOSE"
        and (not attention or one.inputs[0] in border | moved or not border.isdisjoint(one.outputs))
    ]


def constant_tensors(model: Any) -> Mapping[int, NDArray[Any]]:
    """{number of a tensor: its numbers, flat} for all that stand in the file."""
    import numpy as np

    found = {}
    for number, tensor in enumerate(model.subgraphs[0].tensors):
        raw = model.buffers[tensor.buffer].data
        kind = np.dtype(dtype_of(tensor)) if dtype_of(tensor) in _NUMBERS else np.dtype(np.uint8)
        if raw is not None and len(raw) and len(raw) % kind.itemsize == 0:
            found[number] = np.frombuffer(bytes(raw), kind)
    return found


def operation_name(graph: Any, one: Operation) -> str:
    """`<module>/<OPERATOR>` in a file that has the modules' names: by what it gives, or else by what it reads."""
    given = layer_name(name_of(graph.tensors[one.outputs[0]]))
    if "/" in given:
        return given
    read = (name_of(graph.tensors[number]).rpartition(":") for number in one.inputs if number >= 0)
    return next((name for name, _, position in read if "/" in name and position.isdigit()), given)


def name_of(tensor: Any) -> str:
    return tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name or "")


def layer_name(tensor: str) -> str:
    """A tensor's name without what only this run of the exporter knows: "head/FULLY_CONNECTED@linear" > up to the @."""
    return tensor.partition("@")[0]


def dtype_of(tensor: Any) -> str:
    """As numpy names it: float32, int8 ..."""
    from ai_edge_litert import schema_py_generated as schema

    for name, value in vars(schema.TensorType).items():
        if value == tensor.type and isinstance(value, int):
            return name.lower()
    return "unknown"


def shape_of(tensor: Any) -> list[int]:
    return [] if tensor.shape is None else [int(size) for size in tensor.shape]


def scales(tensor: Any) -> tuple[Any, Any]:
    """(scales, zero points) of a quantised tensor, one or one a channel; (None, None) of any other."""
    found = tensor.quantization
    if found is None or found.scale is None or not len(found.scale):
        return None, None
    return found.scale, found.zeroPoint


_NUMBERS = {
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
}  # fmt: skip
# Which operands may be weights.
_WEIGHED = {
    "CONV_2D": (1,), "DEPTHWISE_CONV_2D": (1,), "TRANSPOSE_CONV": (1,), "CONV_3D": (1,), "FULLY_CONNECTED": (1,),
    "BATCH_MATMUL": (0, 1),
}  # fmt: skip


def _macs(one: Operation, all_tensors: list[Any]) -> int:
    shapes: Iterator[list[int]] = (shape_of(all_tensors[number]) for number in one.inputs[:2])
    first, weight = shapes
    output = math.prod(shape_of(all_tensors[one.outputs[0]]))
    if one.kind == "CONV_2D":  # [out, height, width, in]
        return output * math.prod(weight[1:])
    if one.kind == "DEPTHWISE_CONV_2D":  # [1, height, width, out]
        return output * math.prod(weight[1:3])
    if one.kind == "CONV_3D":  # [depth, height, width, in, out]
        return output * math.prod(weight[:4])
    if one.kind == "TRANSPOSE_CONV":  # [out, height, width, in], and the data comes third
        return math.prod(shape_of(all_tensors[one.inputs[2]])) * math.prod(weight[:3])
    if one.kind == "FULLY_CONNECTED":
        return output * weight[-1]
    return output * first[-2 if one.options is not None and one.options.adjX else -1]


def _channels_first(kind: str, shape: list[int]) -> list[int]:
    if kind in ("CONV_2D", "TRANSPOSE_CONV"):
        return [shape[0], shape[3], *shape[1:3]]
    if kind == "DEPTHWISE_CONV_2D":
        return [shape[3], 1, *shape[1:3]]
    if kind == "CONV_3D":
        return [shape[4], shape[3], *shape[:3]]
    return shape
