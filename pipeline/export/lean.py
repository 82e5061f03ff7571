"""Takes out of an ONNX file what only costs bytes or tells of the build machine: metadata, doc strings, long names."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without doc strings, metadata, value_info, producer and unused opset imports; names stay.

    The dynamo exporter writes absolute source paths and lines of the build machine into every node's metadata (47 KB
    for ResNet-20); they survive quantisation.
    """
    lean = copy.deepcopy(model)
    lean.doc_string = lean.producer_name = lean.producer_version = lean.domain = ""
    lean.graph.doc_string = ""
    lean.graph.name = "g"
    del lean.metadata_props[:], lean.graph.metadata_props[:], lean.graph.value_info[:]
    for item in [*lean.graph.node, *lean.graph.initializer, *lean.graph.input, *lean.graph.output]:
        item.doc_string = ""
        del item.metadata_props[:]
    used = {node.domain for node in lean.graph.node}
    imports = [entry for entry in lean.opset_import if entry.domain in used or entry.domain == ""]
    del lean.opset_import[:]
    lean.opset_import.extend(imports)
    return lean


def with_short_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which all names but those of the inputs and outputs are a letter or two, and nodes have none."""
    lean = copy.deepcopy(model)
    kept = {value.name for value in [*lean.graph.input, *lean.graph.output]}
    short: dict[str, str] = {name: name for name in kept}

    def renamed(name: str) -> str:
        if name and name not in short:
            short[name] = _letters(len(short), kept)
        return short.get(name, name)

    for initializer in lean.graph.initializer:
        initializer.name = renamed(initializer.name)
    for node in lean.graph.node:
        if _has_subgraph(node):  # its inner names may mean outer tensors: leave such a model as it is
            return copy.deepcopy(model)
    for node in lean.graph.node:
        node.name = ""
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed(name)
    del lean.graph.value_info[:]
    return lean


def leanest(model: onnx.ModelProto) -> bytes:
    """The file that is shipped: no metadata, short names; the same model gives the same bytes."""
    data: bytes = with_short_names(without_metadata(model)).SerializeToString(deterministic=True)
    return data


def _letters(number: int, taken: set[str]) -> str:
    digits = "abcdefghijklmnopqrstuvwxyz"
    name = ""
    while number >= 0:
        name = digits[number % 26] + name
        number = number // 26 - 1
    return name if name not in taken else f"_{name}"


def _has_subgraph(node: Any) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
