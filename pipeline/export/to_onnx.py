"""torch to ONNX by the dynamo exporter, with every node named after the torch module that it came from."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from edgewright.quiet import quiet
from pipeline.export.refusal import refusal

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

SCOPES = "pkg.torch.onnx.name_scopes"
INPUT, OUTPUT = "input", "output"


def to_onnx(module: nn.Module, example: Tensor | tuple[Tensor, ...], opset: int) -> onnx.ModelProto:
    """An ONNX model with the static shapes of `example` (a batch of 1, of any dtype): `input` > `output`.

    More of them are input_2, input_3 ... and output_2, output_3 ... in the order of forward()'s arguments and of what
    it returns.

    A tensor is named `<module>/<operator>`, so `blocks.0.norm1/Conv` is what the module blocks.0.norm1 gives (batch
    norms are folded into their convolution). Raises NotExportable with the exporter's own words and the layer.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    inputs = example if isinstance(example, tuple) else (example,)
    module.eval()
    try:
        # It prints progress, and warns of torchvision's absence, whatever it is told.
        with quiet():
            with torch.no_grad():
                outputs = [one for one in tree_leaves(module(*inputs)) if isinstance(one, torch.Tensor)]
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                opset_version=opset,
                input_names=numbered(INPUT, len(inputs)),
                output_names=numbered(OUTPUT, len(outputs)),
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds
        raise refusal(module, inputs, error, f"torch.onnx.export (opset {opset})") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _name(model)
    return model


def numbered(name: str, count: int) -> list[str]:
    """The names of `count` inputs or outputs: input, input_2, input_3 ..."""
    return [name if place == 1 else f"{name}_{place}" for place in range(1, count + 1)]


def tensors_of(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """`inputs` and `outputs` of a file of static shapes, each with name, dtype (numpy's word for it) and shape."""
    import numpy as np
    from onnx.helper import tensor_dtype_to_np_dtype

    def told(value: onnx.ValueInfoProto) -> dict[str, Any]:
        kind = value.type.tensor_type
        dtype = str(np.dtype(tensor_dtype_to_np_dtype(kind.elem_type)))
        return {"name": value.name, "dtype": dtype, "shape": [dim.dim_value for dim in kind.shape.dim]}

    return {
        "inputs": [told(value) for value in model.graph.input],
        "outputs": [told(value) for value in model.graph.output],
    }


def module_of(tensor: str) -> str:
    """The torch module behind a tensor's name: "blocks.0.norm1/Conv" > "blocks.0.norm1"; "" for the network itself."""
    return tensor.rpartition("/")[0].partition("#")[0]


def _name(model: onnx.ModelProto) -> None:
    """Renames nodes and the tensors that they make to `<module>/<operator>`, with #2, #3 ... where that is taken."""
    kept = {value.name for value in [*model.graph.input, *model.graph.output]}
    new: dict[str, str] = {}
    taken: set[str] = set()
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "['']")
        path = ast.literal_eval(scopes)
        module = path[-2] if len(path) > 1 else ""
        base = name = f"{module}/{node.op_type}"
        count = 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        taken.add(name)
        node.name = name
        for place, output in enumerate(node.output):
            if output and output not in kept:
                new[output] = name if place == 0 else f"{name}:{place}"
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, old in enumerate(names):
                names[place] = new.get(old, old)
    for value in model.graph.value_info:
        value.name = new.get(value.name, value.name)
