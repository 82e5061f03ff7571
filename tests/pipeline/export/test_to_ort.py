"""onnxruntime's own format: the same outputs, the same bytes each time, integers left integers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pipeline.export.compare import run_file
from pipeline.export.drift import worst_difference
from pipeline.export.integers import output_scale
from pipeline.export.lean import leanest
from pipeline.export.to_onnx import to_onnx
from pipeline.export.to_ort import NotConvertibleToOrt, in_order, to_ort
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
from tests.pipeline.export import attentive
from tests.pipeline.export.exported import exported_net

X = nets.pictures(16).numpy()
ELSEWHERE = """
import hashlib, pathlib, sys
from pipeline.export.to_ort import to_ort
print(hashlib.sha256(to_ort(pathlib.Path(sys.argv[1]).read_bytes())).hexdigest())
"""


@pytest.fixture(scope="module")
def int8() -> onnx.ModelProto:
    return quantise_static(exported_net("mobile"), X, "uint8", True, False)


def operators(data: bytes) -> list[str]:
    """Kinds of the nodes of an .ort file."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    graph: Any = InferenceSession.GetRootAsInferenceSession(data, 0).Model().Graph()
    return [graph.Nodes(place).OpType().decode() for place in range(graph.NodesLength())]


@pytest.mark.parametrize("name", ["resnet", "mobile", "concat", "flat"])
def test_ort_of_a_float_net_gives_what_its_onnx_gives(name: str) -> None:
    data = leanest(exported_net(name))
    assert worst_difference(run_file(data, X), run_file(to_ort(data), X)) < 1e-5


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_ort_of_int8_gives_the_same_to_the_bit_in_integer_kernels(activations: str) -> None:
    model = quantise_static(exported_net("mobile"), X, activations, True, activations == "int8")
    data = leanest(model)
    made = to_ort(data)
    assert (run_file(made, X) == run_file(data, X)).all()
    # An .ort is not optimised as it is loaded: a Conv that stands in it would run in float for good.
    found = operators(made)
    assert found.count("QLinearConv") == 4
    assert "Conv" not in found
    assert "FusedConv" not in found


def test_ort_of_token_numbers_and_attention_gives_what_its_onnx_gives() -> None:
    data = leanest(to_onnx(attentive.made(attentive.Words), attentive.tokens(1), 20))
    ids = attentive.tokens(6).numpy()
    assert worst_difference(run_file(data, ids), run_file(to_ort(data), ids)) < 1e-5


def test_ort_same_bytes_each_time(int8: onnx.ModelProto) -> None:
    data = leanest(int8)
    assert len({to_ort(data) for _ in range(6)}) == 1


@pytest.mark.slow  # the steps' contract test asks the same of the ort step
def test_ort_same_bytes_in_another_process(int8: onnx.ModelProto, tmp_path: Path, project_root: Path) -> None:
    data = leanest(int8)
    (tmp_path / "model.onnx").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, "model.onnx"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(project_root), "PYTHONHASHSEED": "7", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(to_ort(data)).hexdigest()


def test_in_order_of_an_ordered_file_changes_nothing(int8: onnx.ModelProto) -> None:
    made = to_ort(leanest(int8))
    assert in_order(made) == made
    assert made[4:8] == b"ORTM"


def test_ort_holds_the_weights_and_no_path(int8: onnx.ModelProto, project_root: Path) -> None:
    made = to_ort(leanest(int8))
    weight = next(tensor for tensor in int8.graph.initializer if len(tensor.dims) == 4 and tensor.dims[1] > 1)
    assert onnx.numpy_helper.to_array(weight).tobytes() in made
    assert [text for text in (str(project_root), "/tmp", sys.prefix, "depthwise") if text.encode() in made] == []


def test_ort_of_what_is_no_model_is_refused() -> None:
    broken = exported_net("flat").__class__()
    broken.CopyFrom(exported_net("flat"))
    broken.graph.node[0].op_type = "Unheard"
    with pytest.raises(NotConvertibleToOrt, match="onnxruntime refused to write the model"):
        to_ort(broken.SerializeToString())


def test_scale_of_the_output_survives(int8: onnx.ModelProto) -> None:
    scale = output_scale(int8)
    assert scale is not None
    steps = run_file(to_ort(leanest(int8)), X) / scale
    assert np.abs(steps - np.round(steps)).max() < 1e-4
