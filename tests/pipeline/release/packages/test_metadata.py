"""TensorFlow Lite Metadata: the interpreter answers as before, and a reader that isn't ours finds what was said."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.release.about import About
from pipeline.release.content import Content
from pipeline.release.packages.ends import affine, ends
from pipeline.release.packages.errors import NotPackaged
from pipeline.release.packages.metadata import IDENTIFIER, NAME, add_metadata, described, ships
from tests.pipeline.release.packages import made
from tests.prerequisites import require

SCHEMA = Path(__file__).parent / "recorded" / "metadata_schema.fbs"


def read_by_flatc(flatbuffer: bytes, folder: Path) -> dict[str, Any]:
    """The metadata as the flatbuffers project's own compiler reads it by Google's schema."""
    require(shutil.which("flatc"), "flatc is not installed: apt-get install flatbuffers-compiler")
    (folder / "metadata.bin").write_bytes(flatbuffer)
    command: list[str | Path] = ["flatc", "--json", "--strict-json", "-o", folder, SCHEMA, "--", "metadata.bin"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    return found


def buffer_of(tflite: bytes) -> tuple[bytes, int]:
    """The metadata's buffer and where it lies in the file, by the schema's reader that walks the bytes."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(tflite, 0)
    places = [one.Buffer() for one in map(model.Metadata, range(model.MetadataLength())) if one.Name() == NAME]
    assert len(places) == 1
    data = model.Buffers(places[0]).DataAsNumpy().tobytes()
    return data, tflite.index(data)


def answer(tflite: bytes) -> Any:
    """What ai-edge-litert gives for seeded inputs: its bytes."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite, num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    sample = np.random.default_rng(1).integers(0, 5, given["shape"]).astype(given["dtype"])
    interpreter.set_tensor(given["index"], sample)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tobytes()


@pytest.mark.parametrize("kind", ["float32", "int8", "tokens"])
def test_file_answers_as_before_to_the_bit(tmp_path: Path, kind: str) -> None:
    content = made.content(tmp_path, kind)
    assert answer(ships(content)) == answer(content.bundle.model_file.read_bytes())


def test_metadata_lies_aligned_under_its_name(tmp_path: Path) -> None:
    data, place = buffer_of(ships(made.content(tmp_path)))
    assert data[4:8] == IDENTIFIER and place % 16 == 0


def test_same_content_gives_same_bytes_and_twice_is_once(tmp_path: Path) -> None:
    content = made.content(tmp_path)
    shipped = ships(content)
    assert shipped == ships(content)
    # Metadata that a file has already makes way; the zip behind it is no part of the flatbuffer.
    again = add_metadata(shipped, content)
    assert buffer_of(again)[0] == buffer_of(shipped)[0]
    with zipfile.ZipFile(io.BytesIO(again)) as archive:
        assert archive.namelist() == ["labels.txt"]


def test_labels_lie_behind_the_model_stored_and_undated(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(ships(made.content(tmp_path)))) as archive:
        (member,) = archive.infolist()
        assert archive.testzip() is None
        assert archive.read(member).decode().splitlines() == made.LABELS
    assert member.compress_type == zipfile.ZIP_STORED and member.date_time == (1980, 1, 1, 0, 0, 0)


def test_without_labels_nothing_lies_behind_the_model(tmp_path: Path) -> None:
    content = made.content(tmp_path, labels=None)
    assert not zipfile.is_zipfile(io.BytesIO(ships(content)))


def test_flatc_reads_a_picture(tmp_path: Path) -> None:
    content = made.content(tmp_path, version="2.0.0", about=About(purpose="Tells \u00c4pfel.", weights_licence="MIT"))
    found = read_by_flatc(buffer_of(ships(content))[0], tmp_path)
    assert {key: found[key] for key in ("name", "version", "description", "license", "min_parser_version")} == {
        **{"name": "tiny-net", "version": "2.0.0", "description": "Tells \u00c4pfel.", "license": "MIT"},
        "min_parser_version": "1.0.0",
    }
    (graph,) = found["subgraph_metadata"]
    (given,), (gives,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert given["content"] == {
        "content_properties_type": "ImageProperties",
        "content_properties": {"color_space": "RGB", "default_size": {"width": 6, "height": 8}},
    }
    (unit,) = given["process_units"]
    assert unit["options_type"] == "NormalizationOptions"
    assert unit["options"]["mean"] == pytest.approx([0.2 * 255, 0.5 * 255, 0.4 * 255])
    assert unit["options"]["std"] == pytest.approx([0.3 * 255, 0.25 * 255, 0.31 * 255])
    assert given["stats"]["max"] == pytest.approx([0.8 / 0.3, 0.5 / 0.25, 0.6 / 0.31])
    assert given["stats"]["min"] == pytest.approx([-0.2 / 0.3, -0.5 / 0.25, -0.4 / 0.31])
    assert [(one["name"], one["type"]) for one in gives["associated_files"]] == [("labels.txt", "TENSOR_AXIS_LABELS")]


def test_flatc_reads_tokens(tmp_path: Path) -> None:
    found = read_by_flatc(described(made.content(tmp_path, "tokens")), tmp_path)
    (given,) = found["subgraph_metadata"][0]["input_tensor_metadata"]
    assert given["content"]["content_properties_type"] == "FeatureProperties"
    assert "process_units" not in given and "6 numbers of tokens" in given["description"]


def test_values_that_are_no_bytes_are_no_picture(tmp_path: Path) -> None:
    found = read_by_flatc(described(made.content(tmp_path, preprocessing={"divide_by": 16})), tmp_path)
    (given,) = found["subgraph_metadata"][0]["input_tensor_metadata"]
    assert given["content"]["content_properties_type"] == "FeatureProperties"
    assert given["process_units"][0]["options"] == {"mean": [0.0] * 3, "std": [16.0] * 3} and "stats" not in given


def test_affine_is_what_the_steps_do(tmp_path: Path) -> None:
    import numpy as np

    given, _ = ends(made.manifest(preprocessing={"divide_by": 127.5, "subtract": 1, "mean": [0.1], "std": [2]}), True)
    mean, std = affine(given)
    raw = np.random.default_rng(2).integers(0, 256, (8, 6, 3))
    assert given.prepared(raw)[0] == pytest.approx((raw - np.array(mean)) / np.array(std), abs=1e-6)


@pytest.mark.parametrize(
    "said",
    [{"std": [0.3, 0, 0.2]}, {"divide_by": "255"}, {"mean": [1, 2]}, {"mean": float("nan")}, {"padding": 0.5}],
)
def test_preprocessing_that_means_nothing_is_refused(tmp_path: Path, said: dict[str, Any]) -> None:
    with pytest.raises(NotPackaged) as caught:
        ends(made.manifest(preprocessing=said), True)
    assert next(iter(said)) in caught.value.what


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [{"name": "a", "dtype": "float32", "shape": [1, 2]}] * 2},
        {"outputs": []},
        {"inputs": [{"name": "a", "dtype": "float32", "shape": [1, "width"]}]},
        {"inputs": [{"name": "a", "dtype": "float16", "shape": [1, 2]}]},
    ],
)
def test_ends_that_no_wrapper_is_written_for_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotPackaged):
        ends(made.manifest(**changes), True)


def test_scores_are_no_classes_where_the_metric_is_another(tmp_path: Path) -> None:
    content: Content = made.content(tmp_path, classifies=False, labels=None)
    (gives,) = read_by_flatc(described(content), tmp_path)["subgraph_metadata"][0]["output_tensor_metadata"]
    assert "description" not in gives and "associated_files" not in gives
