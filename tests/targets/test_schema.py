"""Target files: the shipped ones, a newcomer's, and every kind of wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.schema import BadTarget, UnknownTarget, read_target, target_files


def _write(root: Path, content: str, name: str = "board") -> None:
    (root / "targets").mkdir(exist_ok=True)
    (root / "targets" / f"{name}.toml").write_text(content)


@pytest.mark.parametrize("name", ["host", "raspberry-pi"])
def test_shipped_target_reads_and_prefers_unsigned_activations(name: str, tmp_path: Path) -> None:
    target = read_target(name, tmp_path)
    assert target.name == name
    assert [(one.name, one.format, one.precisions) for one in target.runtime] == [
        ("litert", "tflite", ("float32", "int8")),
        ("onnxruntime", "onnx", ("float32", "int8")),
    ]
    assert target.runtime[1].int8.activations == "uint8"
    assert target.alignment == 8
    assert target.sparsity == ()  # neither runtime skips a zero on a CPU


def test_every_shipped_target_reads(tmp_path: Path) -> None:
    shipped = {name: read_target(name, tmp_path) for name in target_files(tmp_path)}
    assert {"android", "host", "jetson", "jetson-nano", "jetson-xavier", "linux-arm64", "linux-x86_64"} < set(shipped)
    assert {"raspberry-pi", "raspberry-pi-32"} < set(shipped)
    assert all(target.description and target.runtime[0].precisions[0] == "float32" for target in shipped.values())
    assert [one.name for one in shipped["raspberry-pi-32"].runtime] == ["tflite-runtime"]
    assert shipped["jetson"].sparsity == ("2:4",) and shipped["jetson-xavier"].sparsity == ()
    assert shipped["jetson"].runtime[0].int8.symmetric_activations  # TensorRT reads no other


def test_target_without_a_runtime_runs_onnx(tmp_path: Path) -> None:
    _write(tmp_path, "")
    (only,) = read_target("board", tmp_path).runtime
    assert (only.name, only.format, only.providers) == ("onnxruntime", "onnx", ("CPUExecutionProvider",))


@pytest.mark.parametrize(
    ("name", "format_"), [("onnxruntime", "onnx"), ("litert", "tflite"), ("tflite-runtime", "tflite")]
)
def test_runtime_takes_its_usual_format(tmp_path: Path, name: str, format_: str) -> None:
    _write(tmp_path, f'[[runtime]]\nname = "{name}"')
    assert read_target("board", tmp_path).runtime[0].format == format_


def test_new_target_is_one_file_and_wins_over_a_shipped_one(tmp_path: Path) -> None:
    _write(tmp_path, "alignment = 4\ncpus = [2, 3]\n[limits]\nlatency_ms = 5\n")
    _write(tmp_path, "threads = 7\n", "host")
    target = read_target("board", tmp_path)
    assert (target.alignment, target.cpus, target.limits.latency_ms) == (4, (2, 3), 5.0)
    assert read_target("host", tmp_path).threads == 7
    assert {"host", "raspberry-pi", "board"} < set(target_files(tmp_path))


def test_target_may_say_which_pattern_of_zeros_it_skips(tmp_path: Path) -> None:
    _write(tmp_path, 'sparsity = ["2:4"]')
    assert read_target("board", tmp_path).sparsity == ("2:4",)


def test_target_by_path_is_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    assert read_target(str(tmp_path / "mine.toml"), tmp_path).name == "mine"


def test_unknown_target_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownTarget) as caught:
        read_target("toaster", tmp_path)
    assert "toaster" in str(caught.value)
    assert "host, ios, jetson" in str(caught.value) and "raspberry-pi" in str(caught.value)
    with pytest.raises(UnknownTarget, match="nowhere"):
        read_target(str(tmp_path / "nowhere.toml"), tmp_path)


ORT = "[[runtime]]\nname = 'onnxruntime'\n"


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        ("aligment = 8", "aligment", "did you mean 'alignment'?"),
        (ORT + "int8 = { activation = 'int8' }", "runtime.0.int8.activation", "did you mean 'activations'?"),
        (ORT + "provider = ['X']", "runtime.0.provider", "did you mean 'providers'?"),
        ("threads = 'two'", "threads", "'two'"),
        ("threads = 0", "threads", "greater than or equal to 1"),
        ("alignment = 0", "alignment", "greater than or equal to 1"),
        (ORT + "opset = 23", "runtime.0.opset", "less than or equal to 20"),
        (ORT + "precisions = ['int8']", "runtime.0", "float32"),
        (ORT + "precisions = ['float32', 'float32']", "runtime.0", "once"),
        (ORT + "format = 'ort'\nprecisions = ['float32', 'float16']", "runtime.0", "keeps no FP16"),
        (
            ORT + "precisions = ['float32', 'dynamic']\nproviders = ['TensorrtExecutionProvider']",
            "runtime.0",
            "TensorRT has no dynamic range",
        ),
        (ORT + "precisions = ['float32', 'int4']", "runtime.0.precisions.1", "'int4'"),
        (ORT + "format = 'tflite'", "runtime.0", "onnxruntime loads onnx or ort, not tflite"),
        (ORT + "int8 = { integer_io = true }", "runtime.0", "TFLite only"),
        (ORT + "options = { CPU = { a = 1 } }", "runtime.0", "not among the providers"),
        (ORT + ORT, "runtime", "once"),
        ("[[runtime]]\nname = 'torch'\nprecisions = ['float32']", "runtime.0", "too big to bring"),
        ("[[runtime]]\nname = 'tensorrt'", "runtime.0.name", "'tensorrt'"),
        ("runtime = 'onnxruntime'", "runtime", "[[runtime]]"),
        ("runtime = []", "runtime", "at least 1"),
        ("[sensors]\npower = 'guess'", "sensors.power", "'guess'"),
        ("[limits]\naccuracy_drop = 2", "limits.accuracy_drop", "less than or equal to 1"),
        ("sparsity = ['1:2']", "sparsity.0", "'1:2'"),
        ("cpus = 'all'", "cpus", "'all'"),
        ("name = 'x'", "name", "file's name"),
        ("threads = ", "", "not TOML"),
    ],
)
def test_bad_target_names_file_key_and_remedy(tmp_path: Path, content: str, key: str, says: str) -> None:
    _write(tmp_path, content)
    with pytest.raises(BadTarget) as caught:
        read_target("board", tmp_path)
    error = caught.value
    assert "board.toml" in error.where
    assert key in error.where
    assert says in str(error)
    assert error.remedy
