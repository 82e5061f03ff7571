"""TensorFlow Lite Metadata: what a model takes and gives, written into the .tflite file itself.

The format is Google's (https://ai.google.dev/edge/litert/conversion/tensorflow/metadata, metadata_schema.fbs 1.5): a
flatbuffer in a buffer that the model's metadata names, and the files that it speaks of as a zip behind the model. An
interpreter reads neither.
"""

from __future__ import annotations

import io
import zipfile

from pipeline.release.content import Content
from pipeline.release.packages.ends import Input, Output, affine, ends
from pipeline.release.packages.flatbuffer import Byte, Field, Int, Table, file
from pipeline.release.processing import LABELS, labels_file

NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"
"""The earliest version of the schema that has all the fields written here."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
_FEATURE, _IMAGE = 1, 2  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions
_COLOURS = {1: 2, 3: 1}  # ColorSpaceType by the number of channels: GRAYSCALE, RGB


def ships(content: Content) -> bytes:
    """The model file that a release for Android holds: the bundle's, a .tflite with metadata in it."""
    data = content.bundle.model_file.read_bytes()
    return add_metadata(data, content) if content.bundle.manifest.format == "tflite" else data


def add_metadata(tflite: bytes, content: Content) -> bytes:
    """A .tflite with metadata in place of any that it had; the same input gives the same bytes, the graph is untouched.

    Raises NotTflite, NotPackaged; MissingExtra without the extra tflite.
    """
    from edgewright.extras import extra

    words = described(content)
    with extra("tflite", "metadata in a .tflite file"):
        import numpy as np
        from ai_edge_litert import schema_py_generated as schema

        from pipeline.export.tflite_file import parse
        from pipeline.export.tflite_names import serialised
    model = parse(tflite)
    kept = [entry for entry in model.metadata or [] if entry.name != NAME]
    for entry in model.metadata or []:
        if entry.name == NAME:
            model.buffers[entry.buffer].data = None
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(words, np.uint8)
    entry.name, entry.buffer = NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*kept, entry]
    return _with_files(serialised(model), {LABELS: labels_file(content.labels)} if content.labels else {})


def described(content: Content) -> bytes:
    """The metadata's own flatbuffer. Raises NotPackaged."""
    given, gives = ends(content.bundle.manifest, content.classifies)
    graph = Table({2: [_input(given)], 3: [_output(gives, content)]})
    fields: dict[int, Field] = {
        0: content.model,
        2: content.version,
        3: [graph],
        7: PARSER,
    }
    if content.about.purpose:
        fields[1] = content.about.purpose
    if content.about.weights_licence:
        fields[5] = content.about.weights_licence
    return file(Table(fields), IDENTIFIER)


def _input(given: Input) -> Table:
    fields: dict[int, Field] = {0: given.tensor.name, 1: _words(given), 3: _content(given)}
    if not given.tokens:
        mean, std = affine(given)
        fields[4] = [Table({0: Byte(_NORMALIZATION), 1: Table({0: mean, 1: std})})]
        if given.pixels:
            ends_of = [sorted(((0 - m) / s, (255 - m) / s)) for m, s in zip(mean, std, strict=True)]
            fields[5] = Table({0: [one[1] for one in ends_of], 1: [one[0] for one in ends_of]})
    return Table(fields)


def _words(given: Input) -> str:
    if given.tokens:
        return f"{given.elements} numbers of tokens, filled up with {given.padding}."
    if given.image is None:
        return f"{given.elements} numbers."
    height, width, channels = given.image
    order = "rows of pixels" if given.tensor.layout else "one plane a channel"
    return f"A picture of {height} x {width} pixels and {channels} channel{'s' * (channels > 1)}, {order}."


def _content(given: Input) -> Table:
    # Readers hand pictures over as bytes: what isn't made of bytes is no picture to them.
    if not (given.image and given.pixels and given.channels in _COLOURS):
        return _feature()
    height, width, channels = given.image
    size = Table({0: Int(width), 1: Int(height)})
    return Table({0: Byte(_IMAGE), 1: Table({0: Byte(_COLOURS[channels]), 1: size})})


def _output(gives: Output, content: Content) -> Table:
    fields: dict[int, Field] = {0: gives.tensor.name, 3: _feature()}
    if gives.classes:
        fields[1] = f"Logits of {gives.classes} classes: their softmax is the probabilities."
    if content.labels:
        fields[6] = [Table({0: LABELS, 1: "What the classes are called.", 2: Byte(_AXIS_LABELS)})]
    return Table(fields)


def _feature() -> Table:
    return Table({0: Byte(_FEATURE), 1: Table({})})


def _with_files(model: bytes, files: dict[str, bytes]) -> bytes:
    """The model with a zip behind it: stored, as Google's readers for Android want it, its offsets the whole file's."""
    if not files:
        return model
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, data in sorted(files.items()):
            member = zipfile.ZipInfo(name, _EARLIEST)
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, data)
    return buffer.getvalue()
