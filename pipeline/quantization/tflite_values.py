"""Reads what a .tflite file computes in between, as floats, and moves the biases of its INT8 layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.export.tflite_file import dtype_of, operations, parse, scales, tensors
from pipeline.export.tflite_names import serialised
from pipeline.export.tflite_run import fed, interpreter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.export.tflite_file import Operation

    Array = NDArray[Any]

WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "BATCH_MATMUL")


def weighted(model: Any) -> list[Operation]:
    """The operators that weigh, in order; quantising a file inserts others between them, and moves none."""
    return [one for one in operations(model) if one.kind in WEIGHTED]


def is_quantised(model: Any) -> bool:
    """Whether any tensor of the file has a scale."""
    return any(scales(tensor)[0] is not None for tensor in model.subgraphs[0].tensors)


def values(data: bytes, x: Array, numbers: Collection[int]) -> Iterator[dict[int, Array]]:
    """{number of a tensor: what it stands for}, sample by sample of `x` [N, ...]; integers without a scale stay so."""
    import numpy as np

    graph = parse(data).subgraphs[0]
    steps = {number: scales(graph.tensors[number]) for number in numbers}
    entry = tensors(data)[0][0]
    running = interpreter(data, every_tensor=True)
    source = running.get_input_details()[0]["index"]
    for sample in x:
        running.set_tensor(source, fed(sample[None], entry))
        running.invoke()
        found = {}
        for number, (step, points) in steps.items():
            held = running.get_tensor(number)
            found[number] = held if step is None else (held.astype(np.float32) - points[0]) * np.float32(step[0])
        yield found


def with_shifted_biases(data: bytes, shifts: Mapping[int, Array]) -> bytes:
    """A copy of an INT8 file whose biases are larger by `shifts`: {place among `weighted`: float [channels]}.

    In the bias's own steps, rounded. What has no INT32 bias is left as it is. The same input gives the same bytes.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = parse(data)
    graph, done = model.subgraphs[0], weighted(model)
    users = [tensor.buffer for tensor in graph.tensors]
    for place, shift in sorted(shifts.items()):
        inputs = done[place].inputs
        if len(inputs) < 3 or inputs[2] < 0:
            continue
        tensor = graph.tensors[inputs[2]]
        step, _ = scales(tensor)
        raw = model.buffers[tensor.buffer].data
        if step is None or raw is None or dtype_of(tensor) != "int32":
            continue
        limits = np.iinfo(np.int32)
        moved = np.round(np.frombuffer(bytes(raw), np.int32) + shift / np.asarray(step, np.float64))
        written = np.clip(moved, limits.min, limits.max).astype(np.int32)
        if users.count(tensor.buffer) > 1:  # another tensor reads it as it was
            model.buffers.append(schema.BufferT())
            tensor.buffer = len(model.buffers) - 1
        model.buffers[tensor.buffer].data = np.frombuffer(written.tobytes(), np.uint8)
    return serialised(model)
