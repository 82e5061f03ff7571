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
    assert (target.name, target.runtime, target.format) == (name, "onnxruntime", "onnx")
    assert target.precisions[0] == "float32"
    assert target.int8.activations == "uint8"
    assert target.alignment == 8
    assert target.sparsity == ()  # onnxruntime computes every zero


def test_new_target_is_one_file_and_wins_over_a_shipped_one(tmp_path: Path) -> None:
    _write(tmp_path, "alignment = 4\ncpus = [2, 3]\n[limits]\nlatency_ms = 5\n")
    _write(tmp_path, "threads = 7\n", "host")
    target = read_target("board", tmp_path)
    assert (target.alignment, target.cpus, target.limits.latency_ms) == (4, (2, 3), 5.0)
    assert read_target("host", tmp_path).threads == 7
    assert {"host", "raspberry-pi", "board"} == set(target_files(tmp_path))


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
    assert "host, raspberry-pi" in str(caught.value)
    with pytest.raises(UnknownTarget, match="nowhere"):
        read_target(str(tmp_path / "nowhere.toml"), tmp_path)


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        ("aligment = 8", "aligment", "did you mean 'alignment'?"),
        ("[int8]\nactivation = 'int8'", "int8.activation", "did you mean 'activations'?"),
        ("threads = 'two'", "threads", "'two'"),
        ("threads = 0", "threads", "greater than or equal to 1"),
        ("alignment = 0", "alignment", "greater than or equal to 1"),
        ("opset = 23", "opset", "less than or equal to 20"),
        ("precisions = ['int8']", "precisions", "float32"),
        ("precisions = ['float32', 'float32']", "precisions", "once"),
        ("precisions = ['float16', 'float32']", "precisions.0", "'float16'"),
        ("runtime = 'tensorrt'", "runtime", "'tensorrt'"),
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
