"""ONNX to onnxruntime's own format: what its small mobile builds load, with no parser and nothing left to optimise."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError
from pipeline.export.integers import SIGNED, signed_activations

IDENTIFIER = b"ORTM"
ALIGNMENT = 8
"""Of what onnxruntime writes: the 64-bit numbers among it."""


class NotConvertibleToOrt(EdgewrightError):
    """onnxruntime refused to write the model in its own format."""


def to_ort(model: bytes) -> bytes:
    """An .ort file of an ONNX model; the same model gives the same bytes. Raises NotConvertibleToOrt.

    Written at the level "extended": onnxruntime optimises no .ort as it loads it, so at a lower level an INT8 model
    would run in float between its QuantizeLinear nodes (six times slower), and "all" writes layouts of this chip.
    """
    import onnxruntime

    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = level.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    # They are for chips that multiply them in integers; on x86 they would be left in float for good.
    options.add_session_config_entry(SIGNED, "1" if signed_activations(model) else "0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ort"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises many kinds
            raise NotConvertibleToOrt(
                f"onnxruntime refused to write the model: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
                where="ort",
                remedy='ship the .onnx itself: format = "onnx" in the target',
            ) from error
        return in_order(path.read_bytes())


def in_order(data: bytes) -> bytes:
    """The same .ort file with its table of kernel types written in the order of its keys.

    onnxruntime writes that table last, in the order of a hash map with a seed of its own, so no two files are alike.
    All else, the file's tail, is taken as it is: offsets in a flatbuffer are relative, and counted from the end.
    """
    import flatbuffers  # type: ignore[import-untyped]
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    session = InferenceSession.GetRootAsInferenceSession(data, 0)
    model, resolver = session.Model()._tab.Pos, session.KernelTypeStrResolver()
    version = session._tab.Indirect(session._tab.Pos + session._tab.Offset(4))
    # A table's own list of fields stands before it, unless it shares another's.
    start = min(model, model - struct.unpack_from("<i", data, model)[0])
    builder = flatbuffers.Builder(0)
    # It grows from the back, so it can go on where the tail begins.
    builder.Bytes, builder.head, builder.minalign = bytearray(data[start:]), 0, ALIGNMENT
    operators = []
    for place in range(resolver.OpKernelTypeStrArgsLength()):
        operator = resolver.OpKernelTypeStrArgs(place)
        kinds = []
        for number in range(operator.KernelTypeStrArgsLength()):
            kind = operator.KernelTypeStrArgs(number)
            arguments = [kind.Args(one) for one in range(kind.ArgsLength())]
            made = [_argument(builder, argument.ArgType(), argument.Index()) for argument in arguments]
            kinds.append(_entry(builder, kind.KernelTypeStr(), made))
        operators.append(_entry(builder, operator.OpId(), kinds))
    table = _offsets(builder, operators)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, table, 0)
    ordered = builder.EndObject()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, len(data) - version, 0)
    builder.PrependUOffsetTRelativeSlot(1, len(data) - model, 0)
    builder.PrependUOffsetTRelativeSlot(3, ordered, 0)
    builder.Finish(builder.EndObject(), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _argument(builder: Any, type_: int, index: int) -> int:
    builder.StartObject(2)
    builder.PrependInt8Slot(0, type_, 0)
    builder.PrependUint32Slot(1, index, 0)
    made: int = builder.EndObject()
    return made


def _entry(builder: Any, key: bytes, children: list[int]) -> int:
    vector, name = _offsets(builder, children), builder.CreateString(key)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    made: int = builder.EndObject()
    return made


def _offsets(builder: Any, children: list[int]) -> int:
    builder.StartVector(4, len(children), 4)
    for child in reversed(children):
        builder.PrependUOffsetTRelative(child)
    made: int = builder.EndVector()
    return made
