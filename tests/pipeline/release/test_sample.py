"""The sample: as the file takes it, with the file's own answer, and how far another machine may be off."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.bundle import Bundle
from pipeline.release import sample
from pipeline.release.errors import NoSample
from tests.device_agents import tiny_tflite
from tests.device_agents.tiny import CLASSES, SIDE, tiny_manifest
from tests.pipeline.release.contents import content
from tests.prerequisites import require

X = np.random.default_rng(5).standard_normal((4, 1, SIDE, SIDE)).astype(np.float32)


def test_sample_is_the_first_that_is_right(tmp_path: Path) -> None:
    given = content(tmp_path)
    answers = [int(sample.of(given.bundle, X[i : i + 1], np.zeros(1), 1e-3).expected["y"].argmax()) for i in range(4)]
    labels = np.array([(answers[0] + 1) % CLASSES, answers[1], answers[2], answers[3]])
    drawn = sample.of(given.bundle, X, labels, 1e-3)
    assert np.array_equal(drawn.inputs["x"], X[1:2]) and drawn.label == labels[1]
    wrong = sample.of(given.bundle, X, (np.array(answers) + 1) % CLASSES, 1e-3)
    assert np.array_equal(wrong.inputs["x"], X[:1])
    unlabelled = sample.of(given.bundle, X, np.zeros((4, 2), np.float32), 1e-3)
    assert unlabelled.label is None and np.array_equal(unlabelled.inputs["x"], X[:1])


def test_files_are_what_sample_json_names(tmp_path: Path) -> None:
    given = content(tmp_path)
    files = sample.files(given)
    told = json.loads(files["sample.json"])
    assert told["inputs"] == [{"name": "x", "file": "input.npy"}]
    assert told["outputs"] == [{"name": "y", "file": "expected.npy"}]
    label = given.sample.label
    assert label is not None and given.labels is not None
    assert told["label"] == {"index": label, "name": given.labels[label]}
    for name, array in (("input.npy", given.sample.inputs["x"]), ("expected.npy", given.sample.expected["y"])):
        loaded = np.load(io.BytesIO(files[name]), allow_pickle=False)
        assert loaded.dtype == array.dtype and np.array_equal(loaded, array)
    assert sample.npy(np.arange(3, dtype=">i4")) == sample.npy(np.arange(3, dtype="<i4"))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_sample_of_a_tflite_file_is_as_that_file_takes_it(kind: str, tmp_path: Path) -> None:
    require(importlib.util.find_spec("ai_edge_litert"), "ai-edge-litert is not installed: ./inv setup tflite")
    bundle = tiny_tflite.tflite_bundle(tmp_path / "made", kind, "tiny")
    tensor = bundle.manifest.inputs[0]
    shape = [size if isinstance(size, int) else 1 for size in tensor.shape]
    first = [shape[0], shape[-1], *shape[1:-1]] if tensor.layout else shape
    x = np.random.default_rng(1).standard_normal((2, *first[1:])).astype(np.float32)
    drawn = sample.of(bundle, x, np.zeros(2, np.int64), 1e-3)
    (given,) = drawn.inputs.values()
    assert list(given.shape) == shape and given.dtype == np.dtype(tensor.dtype)
    (answer,) = drawn.expected.values()
    assert answer.dtype == np.dtype(bundle.manifest.outputs[0].dtype)


@pytest.mark.parametrize(
    ("manifest", "expected", "allowed"),
    [
        ({}, [0.0, 4.0], 4e-3),
        ({"precision": "float16"}, [0.0, 4.0], 4 * 10**-1.5),
        ({"precision": "int8", "origin": {"check": {"parity": {"exact": True, "scale": 0.5}}}}, [0.0, 4.0], 1.001),
        ({"precision": "int8", "origin": {"check": {"parity": {"exact": False, "scale": 0.5}}}}, [0.0, 4.0], 0.126491),
        ({"precision": "int8", "origin": {"check": {"parity": {"exact": True, "scale": None}}}}, [-128, 127], 2),
        ({"precision": "int8", "runtime": "tflite-runtime"}, [-128, 127], 9),
        ({}, [3.0], 3e-3),
        ({}, [0.0, 0.0], 1e-6),
    ],
)
def test_tolerance_is_of_the_kind_of_the_file(manifest: dict[str, Any], expected: list[float], allowed: float) -> None:
    array = np.array(expected, np.int8 if isinstance(expected[0], int) else np.float32)
    assert sample.tolerance(tiny_manifest(**manifest), array, 1e-3) == pytest.approx(allowed, rel=1e-4)


def test_file_that_does_not_run_here_gives_no_sample(tmp_path: Path) -> None:
    given = content(tmp_path)
    given.bundle.model_file.write_bytes(b"no model")
    with pytest.raises(NoSample, match="does not run on this machine") as caught:
        sample.of(Bundle(given.bundle.folder, given.bundle.manifest), X, np.zeros(4, np.int64), 1e-3)
    assert "./inv build --model tiny --target raspberry-pi" in caught.value.remedy


def test_answer_that_is_no_number_gives_no_sample(tmp_path: Path) -> None:
    """What can't be compared would be no check, and JSON has no NaN to write its tolerance with."""
    given = content(tmp_path)
    with pytest.raises(NoSample, match="no finite number"):
        sample.of(given.bundle, np.full_like(X, np.nan), np.zeros(4, np.int64), 1e-3)


def test_evaluation_that_is_damaged_gives_no_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = content(tmp_path)
    torn = tmp_path / "evaluation.npz"
    np.savez_compressed(torn, x=X, y=np.zeros(4))
    torn.write_bytes(torn.read_bytes()[:-40])
    monkeypatch.setattr(sample, "_evaluation", lambda *asked: torn)
    with pytest.raises(NoSample, match="the evaluation samples can't be read"):
        sample.evaluation(None, None, given.bundle, print)  # type: ignore[arg-type]
