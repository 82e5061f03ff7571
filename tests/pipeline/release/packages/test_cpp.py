"""The example's C++ program, compiled without a warning and run: the same answers as the Python one's.

Against ONNX Runtime's own headers and library. TensorFlow Lite's C library is to be had nowhere here: a double of it
(tflite_c/) has the same calls, and asks ai-edge-litert.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.release.packages import onnxruntime_cpp, runnable
from tests.prerequisites import require

pytestmark = pytest.mark.slow

TFLITE_C = Path(__file__).parent / "tflite_c"
KINDS = ("onnx", "float32", "int8", "tokens")
OPTIMISED = ("onnx", "int8")


def _root(kind: str, folder: Path) -> Path:
    """A folder with include/ and lib/, as CMakeLists.txt asks for."""
    (folder / "lib").mkdir(parents=True)
    if kind == "onnx":
        include, how = onnxruntime_cpp.headers()
        require(include, how)
        assert include
        (folder / "include").symlink_to(include)
        onnxruntime_cpp.library(None, folder / "lib")
    else:
        (folder / "include").symlink_to(TFLITE_C)
        library = folder / "lib" / "libtensorflowlite_c.so"
        command = [
            "g++",
            "-std=c++17",
            "-shared",
            "-fPIC",
            f"-I{TFLITE_C}",
            str(TFLITE_C / "double.cpp"),
            "-o",
            str(library),
        ]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An unpacked example with its program under build/run, by its kind, made once."""
    for program in ("g++", "cmake"):
        require(
            shutil.which(program), f"{program} is not installed: apt-get install --no-install-recommends g++ cmake make"
        )
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            if kind != "onnx":
                require(
                    importlib.util.find_spec("ai_edge_litert"), "ai-edge-litert is not installed: ./inv setup tflite"
                )
            folder = tmp_path_factory.mktemp(kind)
            content = runnable.onnx(folder) if kind == "onnx" else runnable.tflite(folder, kind)
            example = runnable.unpacked(content, folder / "example")
            root = _root(kind, folder / "root")
            flags = ["-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror -fsanitize=undefined -fno-sanitize-recover"]
            # Half of the warnings need an optimiser, which is half of the time: one model of each runtime gets it.
            flags += [] if kind in OPTIMISED else ["-DCMAKE_BUILD_TYPE=None"]
            for command in (["-B", "build", f"-DRUNTIME_ROOT={root}", *flags], ["--build", "build"]):
                done = subprocess.run(["cmake", *command], cwd=example, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
            made[kind] = example
        return made[kind]

    return of


def _run(example: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TFLITE_ANSWER": f"{sys.executable} {TFLITE_C / 'answer.py'}"}
    command = [str(example / "build" / "run"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


@pytest.mark.parametrize("kind", KINDS)
def test_check_finds_the_expected_answer(built: Callable[[str], Path], kind: str) -> None:
    done = _run(built(kind), "--check")
    assert (done.returncode, "as expected, worst difference" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_answer_is_the_python_programs(built: Callable[[str], Path], kind: str) -> None:
    example = built(kind)
    done = _run(example, example / "sample" / "input.npy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == runnable.run(example, example / "sample" / "input.npy").stdout


@pytest.mark.parametrize(("kind", "shape"), [("onnx", (8, 8)), ("float32", (8, 6, 3)), ("int8", (8, 6, 3))])
def test_pixels_and_images_are_prepared_as_in_python(
    built: Callable[[str], Path], tmp_path: Path, kind: str, shape: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    magic = b"P5" if len(shape) == 2 else b"P6"
    (tmp_path / "image.ppm").write_bytes(
        magic + b"\n# made here\n%d %d 255\n" % (shape[1], shape[0]) + pixels.tobytes()
    )
    wanted = runnable.run(built(kind), tmp_path / "pixels.npy").stdout
    assert wanted
    for name in ("pixels.npy", "image.ppm"):
        assert _run(built(kind), tmp_path / name).stdout == wanted


def test_shorter_tokens_are_padded(built: Callable[[str], Path], tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.array([3, 1, 2], np.int64))
    done = _run(built("tokens"), tmp_path / "short.npy")
    assert done.stdout == runnable.run(built("tokens"), tmp_path / "short.npy").stdout != ""


def test_check_fails_on_another_answer(built: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(built("onnx"), folder, ignore=shutil.ignore_patterns("build"))
    expected = np.load(folder / "sample" / "expected.npy")
    for wrong in (expected + 0.01, np.full_like(expected, np.nan), expected.astype(np.float64), expected[:, :2]):
        np.save(folder / "sample" / "expected.npy", wrong)
        done = _run(built("onnx"), "--check", "--folder", folder)
        assert (done.returncode, "NOT as expected" in done.stdout) == (1, True), done.stderr


def test_wrong_use_and_damaged_files_are_told_in_one_line(built: Callable[[str], Path], tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.zeros((3, 3), np.float32))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.zeros((8, 8), np.uint8)))
    whole = (built("onnx") / "sample" / "input.npy").read_bytes()
    for place in (0, 5, 9, 20, 60, len(whole) - 1):
        (tmp_path / f"cut-{place}.npy").write_bytes(whole[:place])
    (tmp_path / "cut.pgm").write_bytes(b"P5 8 8 255\n" + bytes(63))
    (tmp_path / "other.pgm").write_bytes(b"P5 8 9 255\n" + bytes(72))
    wrong: list[list[str | Path]] = [[], ["--check", "x.npy"], ["--top"], ["gone.npy"]]
    wrong += [[path] for path in tmp_path.iterdir()]
    for arguments in wrong:
        done = _run(built("onnx"), *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (arguments, done.stderr)
        assert done.stderr.startswith("run: ")


def test_header_says_what_the_files_say(built: Callable[[str], Path]) -> None:
    tensor = json.loads((built("int8") / "preprocessing.json").read_text())["inputs"][0]
    text = (built("int8") / "model.h").read_text()
    scale = float(text.partition("kInputScale = ")[2].partition("F;")[0])
    assert np.float32(scale) == np.float32(tensor["scale"])
    assert f"kInputZeroPoint = {tensor['zero_point']};" in text
