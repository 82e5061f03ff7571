"""The example of a release: its files, and what its Python program does with right and with wrong input."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.agent.feeds import to_file
from device_agents.runtimes import System, fetch
from pipeline.release.content import Content
from pipeline.release.evidence import Evidence, Figures
from pipeline.release.packages import examples
from pipeline.release.packages.errors import NotPackaged
from tests.device_agents.agent.pythons import HOW, python
from tests.pipeline.release.packages import runnable
from tests.prerequisites import require

KINDS = ("onnx", "float32", "int8", "tokens")


def _content(kind: str, folder: Path, **changes: Any) -> Content:
    if kind == "onnx":
        return runnable.onnx(folder, **changes)
    require(importlib.util.find_spec("ai_edge_litert"), "ai-edge-litert is not installed: ./inv setup tflite")
    return runnable.tflite(folder, kind, **changes)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An unpacked example by its kind, made once."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = runnable.unpacked(_content(kind, folder), folder / "example")
        return made[kind]

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_check_finds_the_expected_answer(example: Callable[[str], Path], kind: str) -> None:
    done = runnable.run(example(kind), "--check", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["same"] and told["worst"] <= told["tolerance"]
    assert "as expected" in runnable.run(example(kind), "--check").stdout


@pytest.mark.parametrize("kind", KINDS)
def test_answer_to_the_sample_is_the_expected_one_as_probabilities(example: Callable[[str], Path], kind: str) -> None:
    folder = example(kind)
    done = runnable.run(folder, folder / "sample" / "input.npy", "--json", "--top", "4")
    assert done.returncode == 0, done.stderr
    top = json.loads(done.stdout)["top"]
    expected = np.load(folder / "sample" / "expected.npy").astype(np.float64).ravel()
    output = json.loads((folder / "preprocessing.json").read_text())["outputs"][0]
    if "scale" in output:
        expected = (expected - output["zero_point"]) * output["scale"]
    wanted = np.exp(expected) / np.exp(expected).sum()
    assert [one["class"] for one in top] == list(np.argsort(-wanted, kind="stable"))
    assert [one["score"] for one in top] == pytest.approx(sorted(wanted, reverse=True))
    assert [one["label"] for one in top] == [runnable.LABELS[one["class"]] for one in top]


@pytest.mark.parametrize(("kind", "shape"), [("onnx", (8, 8)), ("float32", (8, 6, 3)), ("int8", (8, 6, 3))])
def test_pixels_are_prepared_as_for_the_data_set(
    example: Callable[[str], Path], tmp_path: Path, kind: str, shape: tuple[int, ...]
) -> None:
    folder = example(kind)
    pixels = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    told = runnable.PIXELS
    x = pixels.reshape(*shape[:2], -1).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    x = (x - np.float32(told["subtract"]) - np.array(told["mean"], "f4")) / np.array(told["std"], "f4")
    tensor = json.loads((folder / "preprocessing.json").read_text())["inputs"][0]
    np.save(tmp_path / "ready.npy", to_file(x, tensor, tensor["dtype"]))
    answers = [runnable.run(folder, tmp_path / name, "--json") for name in ("pixels.npy", "ready.npy")]
    assert answers[0].returncode == 0, answers[0].stderr
    assert answers[0].stdout == answers[1].stdout


def test_shorter_tokens_are_padded(example: Callable[[str], Path], tmp_path: Path) -> None:
    folder = example("tokens")
    np.save(tmp_path / "short.npy", np.array([3, 1, 2], np.int64))
    np.save(tmp_path / "whole.npy", np.array([[3, 1, 2, 0, 0, 0]], np.int32))
    answers = [runnable.run(folder, tmp_path / name, "--json") for name in ("short.npy", "whole.npy")]
    assert answers[0].returncode == 0, answers[0].stderr
    assert answers[0].stdout == answers[1].stdout


def test_check_fails_on_another_answer(example: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(example("onnx"), folder)
    expected = np.load(folder / "sample" / "expected.npy")
    for wrong in (expected + 0.01, np.full_like(expected, np.nan), expected.astype(np.float64), expected[:, :2]):
        np.save(folder / "sample" / "expected.npy", wrong)
        done = runnable.run(folder, "--check")
        assert (done.returncode, "NOT as expected" in done.stdout) == (1, True), done.stderr
        told = json.loads(runnable.run(folder, "--check", "--json").stdout, parse_constant=pytest.fail)
        assert not told["same"] and (told["worst"] is None or told["worst"] > told["tolerance"])


@pytest.mark.parametrize(
    "arguments",
    [[], ["--check", "x.npy"], ["missing.npy"], ["cut.npy"], ["other.npy"], ["none.png"], ["x.npy", "--top", "0"]],
)
def test_wrong_use_is_told_in_one_line(
    example: Callable[[str], Path], tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("other.npy", np.zeros((3, 3), np.float32))
    Path("cut.npy").write_bytes(Path("other.npy").read_bytes()[:-3])
    Path("none.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    done = runnable.run(example("onnx"), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    said = [line for line in done.stderr.splitlines() if line.startswith("run.py: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr


def test_token_model_takes_no_image(example: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "image.pgm").write_bytes(b"P5 2 2 255\n0123")
    done = runnable.run(example("tokens"), tmp_path / "image.pgm")
    assert done.returncode == 2
    assert "takes no image but token numbers of some, int32 [1, 6]" in done.stderr


@pytest.mark.parametrize(("kind", "module"), [("onnx", "onnxruntime"), ("float32", "ai_edge_litert")])
def test_missing_runtime_names_the_requirements(
    example: Callable[[str], Path], tmp_path: Path, kind: str, module: str
) -> None:
    for name in (module, "tflite_runtime"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").write_text(f'raise ImportError("no {name} here")\n')
    done = runnable.run(example(kind), "--check", path=[tmp_path])
    assert done.returncode == 2
    assert f"no {module} here" in done.stderr
    assert f"pip install -r {example(kind) / 'requirements.txt'}" in done.stderr


def test_missing_numpy_names_the_requirements(example: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text('raise ImportError("no numpy here")\n')
    done = runnable.run(example("onnx"), "--check", path=[tmp_path])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"no numpy here: pip install -r {example('onnx') / 'requirements.txt'}" in done.stderr


def test_another_interpreter_stands_in(example: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text('raise ImportError("not here")\n')
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "9"\n')
    (package / "interpreter.py").write_text(_STAND_IN)
    done = runnable.run(example("float32"), "--check", path=[tmp_path])
    assert "by tflite-runtime 9" in done.stdout, done.stderr


# Answers zeros: which interpreter is taken is all that is asked.
_STAND_IN = """
import numpy
class Interpreter:
    def __init__(self, path): pass
    def allocate_tensors(self): pass
    def get_input_details(self): return [{"index": 0}]
    get_output_details = get_input_details
    def set_tensor(self, index, array): pass
    def invoke(self): pass
    def get_tensor(self, index): return numpy.zeros((1, 4), "float32")
"""


def test_regression_is_told_in_its_order(tmp_path: Path) -> None:
    content = runnable.onnx(tmp_path, classifies=False, labels=None)
    folder = runnable.unpacked(content, tmp_path / "example")
    assert not (folder / "labels.txt").exists()
    done = runnable.run(folder, folder / "sample" / "input.npy", "--json")
    scores = [one["score"] for one in json.loads(done.stdout)["top"]]
    assert scores == pytest.approx(np.load(folder / "sample" / "expected.npy").ravel().tolist())


def test_program_is_a_module_too(example: Callable[[str], Path]) -> None:
    """As docs/linux-app.md uses it."""
    folder = example("onnx")
    script = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import run
model = run.Model(run.HERE)
runtime = run.loaded(model)
answer = run.answered(runtime.run(run.prepared(Path(sys.argv[1], "sample/input.npy"), model)), model)
print(model.labels[answer.best[0]])
"""
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    best = int(np.load(folder / "sample" / "expected.npy").argmax())
    assert done.stdout == runnable.LABELS[best] + "\n", done.stderr


@pytest.mark.slow
def test_program_runs_on_python_3_8(example: Callable[[str], Path], tmp_path: Path) -> None:
    old = python(8)
    require(old, HOW.format(8))
    cache = Path(os.environ.get("EDGEWRIGHT_CACHE", "~/.cache/edgewright"))
    wheels = fetch("onnxruntime", System((3, 8), "cpython", platform.machine(), platform.libc_ver()), cache)
    for wheel in wheels.wheels:
        zipfile.ZipFile(wheel.path).extractall(tmp_path / "packages")
    assert old
    done = runnable.run(example("onnx"), "--check", python=old, path=[tmp_path / "packages"])
    assert done.returncode == 0, done.stderr
    assert "by onnxruntime 1.19.2" in done.stdout


def _figures(runtime: str, version: str | None, worth: Any = "valid") -> Figures:
    return Figures("board", worth, "2026-10-01", "r", 1, runtime, version)


def test_requirements_name_the_version_that_was_measured(tmp_path: Path) -> None:
    seen = (_figures("litert", "2.1.0"), _figures("onnxruntime", None), _figures("onnxruntime", "1.19.2"))
    content = runnable.onnx(tmp_path, evidence=Evidence(seen))
    text = examples.files(content, content.bundle.model_file)["requirements.txt"]
    assert text == b"# The version that was measured.\nonnxruntime==1.19.2\nnumpy\n"


def test_requirements_say_where_nothing_was_measured(tmp_path: Path) -> None:
    content = runnable.onnx(tmp_path, origin={"libraries": {"onnxruntime": "1.31.0"}})
    text = examples.files(content, content.bundle.model_file)["requirements.txt"]
    assert text == b"# NOT MEASURED: the version that checked the bundle.\nonnxruntime==1.31.0\nnumpy\n"


def test_tflite_runtime_gets_the_numpy_that_it_was_built_for(tmp_path: Path) -> None:
    content = _content("float32", tmp_path, runtime="tflite-runtime")
    assert str(examples.requirement(content)) == "tflite-runtime 2.14.0"
    text = examples.files(content, content.bundle.model_file)["requirements.txt"]
    assert isinstance(text, bytes) and b"\nnumpy<2\n" in text


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    content = runnable.onnx(tmp_path)
    manifest = content.bundle.manifest.model_copy(update={"format": "pt2"})
    with pytest.raises(NotPackaged, match="pt2"):
        examples.toolkit(manifest)


def test_readme_says_what_goes_in_and_comes_out(tmp_path: Path) -> None:
    folder = runnable.unpacked(_content("int8", tmp_path), tmp_path / "example")
    text = (folder / "README.md").read_text()
    assert "an image of 6 x 8 pixels, RGB" in text
    assert "/ 255; - 0.125; - 0.286; / 0.353; quantised: round(x / " in text
    assert "{{" not in text


def test_integers_are_no_tokens_where_the_input_is_quantised(tmp_path: Path) -> None:
    folder = runnable.unpacked(_content("tokens", tmp_path), tmp_path / "example")
    told = json.loads((folder / "preprocessing.json").read_text())
    told["inputs"][0] |= {"scale": 0.5, "zero_point": 0}
    (folder / "preprocessing.json").write_text(json.dumps(told))
    np.save(tmp_path / "raw.npy", np.array([3, 1, 2], np.int64))
    done = runnable.run(folder, tmp_path / "raw.npy")
    assert (done.returncode, done.stdout) == (2, "") and "the model takes" in done.stderr
