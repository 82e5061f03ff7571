"""Runs .tflite files by LiteRT's interpreter as networks take their data: channels first, floats in and floats out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewright.extras import extra
from edgewright.quiet import quiet
from pipeline.export.tflite_file import CHANNELS_LAST, tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


def run_tflite(data: bytes, x: Array) -> NDArray[np.float32]:
    """The file's first output, float32 [N, ...], over `x` [N, ...] as the network takes it, a sample at a time.

    On one thread, with the kernels that LiteRT takes by itself (XNNPACK's). Raises MissingExtra.
    """
    import numpy as np

    entering, leaving = tensors(data)
    running = interpreter(data)
    source, result = running.get_input_details()[0]["index"], running.get_output_details()[0]["index"]
    rows = []
    for sample in x:
        running.set_tensor(source, fed(sample[None], entering[0]))
        running.invoke()
        rows.append(read(running.get_tensor(result), leaving[0]))
    return np.concatenate(rows)


def fed(sample: Array, tensor: dict[str, Any]) -> Array:
    """One sample [1, ...], channels first, as the file's input `tensor` wants it: moved, quantised, in its dtype."""
    import numpy as np

    if tensor.get("layout") == CHANNELS_LAST:
        sample = np.moveaxis(sample, 1, -1)
    if "scale" in tensor:
        limits = np.iinfo(tensor["dtype"])
        sample = np.clip(np.round(sample / tensor["scale"]) + tensor["zero_point"], limits.min, limits.max)
    return np.ascontiguousarray(sample, dtype=tensor["dtype"])


def read(values: Array, tensor: dict[str, Any]) -> NDArray[np.float32]:
    """An output `tensor` of the file as the floats that it stands for."""
    import numpy as np

    if "scale" in tensor:
        return ((values.astype(np.float32) - tensor["zero_point"]) * np.float32(tensor["scale"])).astype(np.float32)
    return values.astype(np.float32)


def interpreter(data: bytes, every_tensor: bool = False) -> Any:
    """An interpreter with its tensors allocated; every_tensor: those in between can be read after a run."""
    with extra("tflite", "running TensorFlow Lite files"):
        from ai_edge_litert.interpreter import Interpreter
    with quiet():
        running = Interpreter(model_content=data, num_threads=1, experimental_preserve_all_tensors=every_tensor)
        running.allocate_tensors()
    return running
