"""Writes .tflite files: aligned and the same every time, with the torch modules' names in them or with hardly any."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from pipeline.export.tflite_file import IDENTIFIER, layer_name, name_of, operations, parse
from pipeline.export.to_onnx import INPUT, OUTPUT, numbered

ALIGNMENT = 16
"""Bytes; what the schema asks of every buffer (force_align)."""
PLACE = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")


def place(module: str, node: str) -> str:
    """How an operation's origin is written into the converter's locations: the torch module, and the graph's node."""
    return f"[{module}|{node}]"


def with_module_names(data: bytes, leaves: Collection[str]) -> bytes:
    """The file with every tensor named `<module>/<OPERATOR>@<node>`, from the places that the converter left in it.

    A fused operator came from several modules: the last of them that is one of `leaves` (has no modules inside) names
    it, so a convolution with its batch norm and ReLU is called after the norm, as in the ONNX export. `@<node>` is the
    node of torch's graph whose output the tensor is. #2, #3 ... follow the operator where a name is taken. Constants
    are named after the first operator that reads them, and where they stand among its inputs. Inputs and outputs are
    input, input_2 ..., output ...; they are the signature's names too.
    """
    model = parse(data)
    graph = model.subgraphs[0]
    taken: set[str] = set()
    names: dict[int, str] = {}
    modules: dict[int, str] = {}
    for one in operations(model):
        found = _places(graph, one.outputs)
        if not found and not modules.keys() >= set(one.inputs):
            # What the graph gives has lost its place, but its weights still have theirs.
            found = _places(graph, [number for number in one.inputs if number >= 0 and number not in modules])
        inside = [module for module, _ in found if module in leaves]
        known = [modules[number] for number in one.inputs if number in modules]
        module = inside[0] if inside else found[0][0] if found else known[0] if known else ""
        base = name = f"{module}/{one.kind}"
        count = 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        taken.add(name)
        for position, number in enumerate(one.outputs):
            modules[number] = module
            node = f"@{found[0][1]}" if found else ""
            names[number] = f"{name}{node}" if position == 0 else f"{name}:out{position}{node}"
        for position, number in enumerate(one.inputs):
            if number >= 0 and number not in names:
                names[number] = f"{name}:{position}"
    return _renamed(model, names)


def leanest(data: bytes) -> bytes:
    """The file that is shipped: tensors named a, b ... but for inputs and outputs, no metadata; the rest as it was."""
    model = parse(data)
    return _renamed(model, {number: _letters(number) for number in range(len(model.subgraphs[0].tensors))})


def serialised(model: Any) -> bytes:
    """A ModelT as a file. The same model gives the same bytes; equal vectors are shared, as flatbuffers may."""
    import flatbuffers  # type: ignore[import-untyped]

    class Builder(flatbuffers.Builder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(1024)
            self.written: dict[tuple[str, bytes], int] = {}

        # The generated code aligns a buffer's bytes to one: floats in it would lie anywhere.
        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
            return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)

        # Equal vectors stand in the file once: a zero point for each channel was a fifth of MobileNetV2 in INT8.
        def CreateNumpyVector(self, x: Any) -> int:
            key = x.dtype.str, x.tobytes()
            if key not in self.written:
                self.written[key] = super().CreateNumpyVector(x)
            return self.written[key]

    builder = Builder()
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _places(graph: Any, numbers: Iterable[int]) -> list[tuple[str, str]]:
    return [found for number in numbers for found in PLACE.findall(name_of(graph.tensors[number]))]


def _renamed(model: Any, names: dict[int, str]) -> bytes:
    graph = model.subgraphs[0]
    for numbers, word in ((graph.inputs, INPUT), (graph.outputs, OUTPUT)):
        names.update(zip((int(one) for one in numbers), numbered(word, len(numbers)), strict=True))
    for number, tensor in enumerate(graph.tensors):
        tensor.name = names.get(number, layer_name(name_of(tensor))).encode()
    for signature in model.signatureDefs or []:
        for entries in (signature.inputs, signature.outputs):
            for entry in entries:
                entry.name = names[entry.tensorIndex].encode()
    graph.name = b"g"
    model.description = b""
    for entry in model.metadata or []:
        model.buffers[entry.buffer].data = None
    model.metadata = None
    model.metadataBuffer = None
    return serialised(model)


def _letters(number: int) -> str:
    name = ""
    while number >= 0:
        name = chr(ord("a") + number % 26) + name
        number = number // 26 - 1
    return name
