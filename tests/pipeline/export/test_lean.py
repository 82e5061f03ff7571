"""Lean files: they load and give the same, and tell nothing of the machine that built them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from models.architectures.mobilenetv2 import mobilenetv2
from models.architectures.resnet import resnet8
from pipeline.export.compare import run_file
from pipeline.export.lean import leanest, with_short_names, without_metadata
from pipeline.export.to_onnx import to_onnx
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
from tests.pipeline.conftest import Built
from tests.pipeline.export.exported import exported_net

ELSEWHERE = """
import hashlib, json, sys
from pipeline.export.lean import leanest, without_metadata
from pipeline.export.to_onnx import to_onnx
from tests.pipeline import nets

named = without_metadata(to_onnx(nets.make("mobile"), nets.pictures(1), 20))
for data in (named.SerializeToString(deterministic=True), leanest(named)):
    print(hashlib.sha256(data).hexdigest())
"""


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return exported_net("mobile")


@pytest.fixture(scope="module")
def int8(exported: onnx.ModelProto) -> onnx.ModelProto:
    return quantise_static(exported, nets.pictures(16).numpy(), "uint8", True, False)


def _telltales(project_root: Path) -> list[bytes]:
    """What a build machine's files or source lines would hold."""
    texts = [str(project_root), sys.prefix, sysconfig.get_path("purelib"), str(Path.home()) + "/", 'File "']
    return [text.encode() for text in [*texts, "site-packages", ".py", "torch.ops", "stack_trace", "nets"]]


def test_exporter_does_write_source_paths(exported: onnx.ModelProto, project_root: Path) -> None:
    raw = exported.SerializeToString()
    assert str(project_root).encode() in raw  # else the tests below look for nothing
    assert b'File "' in raw


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_lean_files_hold_no_path_or_source_line(
    exported: onnx.ModelProto, int8: onnx.ModelProto, project_root: Path, kind: str
) -> None:
    model = exported if kind == "float" else int8
    for data in (without_metadata(model).SerializeToString(), leanest(model)):
        assert [text for text in _telltales(project_root) if text in data] == []


def test_no_file_of_a_build_holds_a_path_or_source_line(built: Built, project_root: Path) -> None:
    places = [*_telltales(project_root)[:5], str(built.places.recipe).encode(), str(built.store.folder).encode()]
    looked_at = 0
    for done in built.done.values():
        assert done.artifact is not None
        for name in done.artifact.files:
            data = done.artifact.path(name).read_bytes()
            assert [text for text in places if text in data] == [], f"{done.node.id} {name}"
            looked_at += 1
    assert looked_at > 20


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_lean_file_is_smaller_loads_and_gives_the_same(
    exported: onnx.ModelProto, int8: onnx.ModelProto, kind: str
) -> None:
    model = exported if kind == "float" else int8
    x = nets.pictures(5).numpy()
    whole, data = model.SerializeToString(), leanest(model)
    assert len(data) < len(without_metadata(model).SerializeToString()) < len(whole)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    assert (run_file(data, x) == run_file(whole, x)).all()


@pytest.mark.parametrize(
    ("factory", "stripped"),
    [(resnet8, 30_000), pytest.param(mobilenetv2, 90_000, marks=pytest.mark.slow)],  # 33 and 112 KB when measured
)
def test_lean_file_of_a_shipped_network_is_its_weights_and_little_more(
    factory: Callable[[], nn.Module], stripped: int
) -> None:
    net, x = factory().eval(), torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    exported = to_onnx(net, x[:1], 20)
    for model in (exported, quantise_static(exported, x.numpy(), "uint8", True, False)):
        data = leanest(model)
        lean = onnx.load_from_string(data)
        weights = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in lean.graph.initializer)
        assert len(model.SerializeToString()) - len(data) > stripped
        assert len(data) - weights < 1000 + 100 * len(lean.graph.node)
        assert (lean.producer_name, lean.doc_string, len(lean.metadata_props), len(lean.graph.value_info)) == (
            "",
            "",
            0,
            0,
        )
        for node in lean.graph.node:
            assert (node.name, node.doc_string, len(node.metadata_props)) == ("", "", 0)
            assert [name for name in (*node.input, *node.output) if len(name) > 3] in ([], ["input"], ["output"])


def test_lean_leaves_the_model_that_it_was_given_alone(exported: onnx.ModelProto) -> None:
    before = exported.SerializeToString(deterministic=True)
    leanest(exported)
    assert exported.SerializeToString(deterministic=True) == before


def test_lean_keeps_the_modules_names_in_the_named_file_only(exported: onnx.ModelProto) -> None:
    named, data = without_metadata(exported), leanest(exported)
    assert b"depthwise" in exported.SerializeToString()
    assert "norm2/Conv" in [node.name for node in named.graph.node]
    assert b"norm2" not in data


def test_lean_drops_opset_imports_that_nothing_uses(int8: onnx.ModelProto) -> None:
    assert len(int8.opset_import) > 2
    used = {node.domain for node in int8.graph.node} | {""}
    assert {entry.domain for entry in without_metadata(int8).opset_import} == used


def test_lean_leaves_names_alone_where_a_subgraph_may_use_them() -> None:
    from onnx import TensorProto, helper

    branch = helper.make_graph(
        [helper.make_node("Identity", ["outer"], ["inner"])], "branch", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node("Neg", ["input"], ["outer"]),
            helper.make_node("Cast", ["input"], ["yes"], to=TensorProto.BOOL),
            helper.make_node("If", ["yes"], ["output"], then_branch=branch, else_branch=branch),
        ],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph)
    assert [node.output[0] for node in with_short_names(model).graph.node] == ["outer", "yes", "output"]
    onnx.checker.check_model(onnx.load_from_string(leanest(model)), full_check=True)


@pytest.mark.slow  # the steps' contract test asks the same of the export step
def test_lean_same_bytes_in_another_process_with_another_working_folder(
    exported: onnx.ModelProto, tmp_path: Path, project_root: Path
) -> None:
    named = without_metadata(exported)
    expected = [named.SerializeToString(deterministic=True), leanest(exported)]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(project_root), "PYTHONHASHSEED": "77", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [hashlib.sha256(data).hexdigest() for data in expected]
