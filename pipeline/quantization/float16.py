"""FP16 as a way of storing: half the bytes in the file, float32 as soon as it is loaded."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pipeline.quantization.refusal import NotQuantisable

if TYPE_CHECKING:
    import onnx

LEAST = 64
"""Numbers of a tensor from which on halving it outweighs the node that casts it back."""


def store_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large float32 constants are float16 behind a Cast; the tensors that nodes read keep their names.

    A runtime folds such a Cast when it loads the file, so that it computes what it did before, with weights rounded to
    11 bits. A constant beyond float16's range (65504) stays as it is. Raises NotQuantisable where none is left.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    made = copy.deepcopy(model)
    given = {value.name for value in [*made.graph.input, *made.graph.output]}
    casts = []
    for tensor in made.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name in given:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < LEAST or not np.abs(values).max() <= np.finfo(np.float16).max:
            continue
        name, stored = tensor.name, f"{tensor.name}/half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], name=f"{name}/Cast", to=TensorProto.FLOAT))
    if not casts:
        raise NotQuantisable(
            f"The model has no constant of {LEAST} numbers or more that float16 can hold",
            where="quantise",
            remedy='leave "float16" out of the target\'s precisions for this model',
        )
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made
