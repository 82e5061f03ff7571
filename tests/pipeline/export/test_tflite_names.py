"""Names of the torch modules in a .tflite file, and a lean file without them: aligned, shared, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.export.drift import worst_difference
from pipeline.export.tflite_file import name_of, operation_name, operations, parse
from pipeline.export.tflite_names import ALIGNMENT, leanest, serialised
from pipeline.export.tflite_run import run_tflite
from pipeline.quantization.tflite import quantise_tflite
from tests.pipeline import nets
from tests.pipeline.export import tflited

X = nets.pictures(8).numpy()


def test_every_operator_is_named_after_its_module() -> None:
    model = parse(tflited.tflite_of("resnet"))
    graph = model.subgraphs[0]
    assert [operation_name(graph, one) for one in operations(model)] == [
        "norm/DEPTHWISE_CONV_2D", "blocks.0.norm1/CONV_2D", "blocks.0.norm2/CONV_2D", "blocks.0/ADD",
        "blocks.1.conv1/PAD", "blocks.1.norm1/CONV_2D", "blocks.1.norm2/CONV_2D", "blocks.1.shortcut.1/CONV_2D",
        "blocks.1/ADD", "blocks.2.conv1/PAD", "blocks.2.norm1/CONV_2D", "blocks.2.norm2/CONV_2D",
        "blocks.2.shortcut.1/CONV_2D", "blocks.2/ADD", "/MEAN", "head/FULLY_CONNECTED",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["resnet", "patches"])
def test_names_are_unique_and_hold_no_path_of_the_build_machine(name: str) -> None:
    data = tflited.tflite_of(name)
    names = [name_of(tensor) for tensor in parse(data).subgraphs[0].tensors]
    assert len(set(names)) == len(names)
    for word in (b"/root", b"site-packages", b".py", b"litert"):
        assert word not in data


def test_lean_file_is_smaller_and_gives_the_same() -> None:
    named = tflited.tflite_of("resnet")
    lean = leanest(named)
    assert len(lean) < len(named)
    assert (run_tflite(lean, X) == run_tflite(named, X)).all()
    assert leanest(lean) == lean == leanest(named)
    assert serialised(parse(named)) == named
    names = {name_of(tensor) for tensor in parse(lean).subgraphs[0].tensors}
    assert {"input", "output"} < names
    assert all(len(one) <= 2 for one in names - {"input", "output"})


def test_weights_lie_at_sixteen_bytes() -> None:
    data = leanest(quantise_tflite(tflited.tflite_of("resnet"), X, "int8"))
    for buffer in parse(data).buffers:
        if buffer.data is not None and len(buffer.data) > 100:
            assert data.index(bytes(buffer.data)) % ALIGNMENT == 0


def test_equal_vectors_stand_in_the_file_once() -> None:
    named = quantise_tflite(tflited.tflite_of("resnet"), X, "int8")
    model = parse(named)
    before = len(serialised(model))
    scaled = [one.quantization for one in model.subgraphs[0].tensors if one.quantization is not None]
    points = [one for one in scaled if one.zeroPoint is not None and len(one.zeroPoint) == 32]
    assert len(points) > 3
    for place, one in enumerate(points):
        one.zeroPoint = one.zeroPoint + place  # now all of them differ
    assert len(serialised(model)) >= before + (len(points) - 1) * 32 * 8
    assert worst_difference(run_tflite(named, X), run_tflite(leanest(named), X)) == 0
    assert np.isfinite(run_tflite(leanest(named), X)).all()
