"""One variant as a file: of every format, with its manifest, whole; what can't be is said before any work."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgewright.files import sha256_file
from pipeline.export.compare import run_file
from pipeline.export.torch_file import run_torch
from pipeline.export_file import NotPossible, NotWritten, UnknownVariant, export_file
from pipeline.project import Project
from tests.pipeline.conftest import RECIPE, Built
from tests.prerequisites import require


@dataclass(frozen=True)
class Place:
    """A project whose store has the small recipe's artifacts."""

    project: Project
    recipe: str
    built: Built

    def expected(self, check: str) -> np.ndarray:
        """What a check step of the small recipe says that its file gives, and the samples for it."""
        found: np.ndarray = np.load(self.built.artifact(check).path("expected.npy"))
        return found


@pytest.fixture(scope="module")
def place(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(built.store.folder, root / "state" / "store")
    (root / "small.toml").write_text(RECIPE)
    project = Project(root, root / "state", built.places.cache, None)
    return Place(project, str(root / "small.toml"), built)


@pytest.fixture(scope="module")
def samples(built: Built) -> np.ndarray:
    with np.load(built.artifact("shared/samples").path("evaluation.npz")) as loaded:
        x: np.ndarray = loaded["x"][:64]
    return x


@pytest.mark.parametrize(
    ("format_", "precision", "variant", "check"),
    [
        ("onnx", "float32", "trained", "trained/check"), ("onnx", "int8", "pruned", "pruned+int8/check"),
        ("ort", "int8", "trained", "int8/check"), ("torchscript", "float32", "pruned", "pruned/check"),
        ("pt2", "float32", "trained", "trained/check"),
    ],
)  # fmt: skip
def test_export_file_writes_a_checked_file_and_its_manifest(
    place: Place, samples: np.ndarray, tmp_path: Path, format_: str, precision: str, variant: str, check: str
) -> None:
    out = tmp_path / "model.bin"
    out.write_bytes(b"of before")
    assert export_file(place.project, place.recipe, format_, precision, variant, out) == out
    manifest = json.loads((tmp_path / "model.bin.json").read_bytes())
    assert (manifest["format"], manifest["precision"], manifest["model"]) == (format_, precision, "small")
    assert manifest["sha256"] == sha256_file(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.bin.json"]
    data, expected = out.read_bytes(), place.expected(check)
    outputs = run_file(data, samples) if format_ in ("onnx", "ort") else run_torch(data, format_, samples)
    assert np.abs(outputs - expected).max() <= (0 if precision == "int8" else 1e-4 * expected.std())


def test_export_file_without_a_name_writes_one_that_says_what_it_is(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = export_file(place.project, place.recipe, "onnx", "int8", "trained", None)
    assert made == Path("small-trained-int8.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == [made.name, f"{made.name}.json"]


@pytest.mark.slow  # converts to TFLite
def test_export_file_in_integers_takes_and_gives_them(place: Place, tmp_path: Path) -> None:
    require(importlib.util.find_spec("litert_torch"), "litert-torch is not installed: pip install '.[tflite]'")
    out = tmp_path / "model.tflite"
    export_file(place.project, place.recipe, "tflite", "int8", "pruned", out, integer_io=True)
    manifest = json.loads((tmp_path / "model.tflite.json").read_bytes())
    for tensor in (*manifest["inputs"], *manifest["outputs"]):
        assert tensor["dtype"] == "int8"
        assert tensor["scale"] > 0
    assert manifest["inputs"][0]["layout"] == "channels-last"
    assert out.read_bytes()[4:8] == b"TFL3"


@pytest.mark.parametrize(
    ("format_", "precision", "integer_io", "what", "next_"),
    [
        ("onxx", "float32", False, "no format 'onxx'", "onnx, ort, tflite, torchscript, pt2"),
        ("onnx", "float16", False, "TensorRT makes it on the device", "or float16 as tflite"),
        ("pt2", "int8", False, "no int8 file of the format pt2", "pt2 in float32, or int8 as onnx or ort or tflite"),
        ("tflite", "int4", False, "no int4 file", "take tflite in float32 or float16 or int8 or dynamic"),
        ("onnx", "int8", True, "takes and gives floats", "--format tflite --precision int8"),
        ("tflite", "dynamic", True, "takes and gives floats", "--precision int8"),
    ],
)  # fmt: skip
def test_export_file_of_what_can_not_be_says_what_can(
    place: Place, tmp_path: Path, format_: str, precision: str, integer_io: bool, what: str, next_: str
) -> None:
    with pytest.raises(NotPossible, match=what) as caught:
        export_file(place.project, place.recipe, format_, precision, "trained", tmp_path / "file", integer_io)
    assert next_ in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_export_file_of_an_unknown_variant_lists_what_there_is(place: Place, tmp_path: Path) -> None:
    with pytest.raises(UnknownVariant, match=r"no variant 'pruned\+int8'") as caught:
        export_file(place.project, place.recipe, "onnx", "int8", "pruned+int8", tmp_path / "file")
    assert caught.value.remedy.startswith("take one of trained, pruned;")


@pytest.mark.parametrize("out", ["", "nowhere/file.onnx"])
def test_export_file_to_no_file_is_said_before_any_work(place: Place, tmp_path: Path, out: str) -> None:
    empty = Project(tmp_path, tmp_path / "state", tmp_path / "cache", None)
    with pytest.raises(NotWritten, match="The file can't be written"):
        export_file(empty, place.recipe, "onnx", "float32", "trained", tmp_path / out)
    assert list(tmp_path.iterdir()) == []
