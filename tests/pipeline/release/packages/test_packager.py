"""Which packager a bundle gets, and what becomes of a release whose model no package can be made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.release.content import Content
from pipeline.release.packages import PACKAGERS, chosen, packager
from tests.pipeline.release.packages import made

TWO = [{"name": name, "dtype": "int32", "shape": [1, 6]} for name in ("ids", "mask")]


def two_inputs(folder: Path, **changes: str) -> Content:
    """Of a model that takes numbers of tokens and a mask."""
    return made.content_of(folder, made.manifest(inputs=TWO, preprocessing={}, **changes))


@pytest.mark.parametrize(
    ("target", "format_", "runtime", "name"),
    [
        ("android", "tflite", "benchmark_model", "android"),
        ("android", "onnx", "onnxruntime", "android"),
        ("pixel-8", "tflite", "benchmark_model", "android"),
        ("ios", "torchscript", "torch", "apple"),
        ("raspberry-pi", "tflite", "litert", "linux"),
        ("raspberry-pi", "torchscript", "torch", "linux"),
    ],
)
def test_phones_get_what_phones_take(target: str, format_: str, runtime: str, name: str) -> None:
    assert chosen(made.manifest(target=target, format=format_, runtime=runtime)) == name


@pytest.mark.parametrize("name", PACKAGERS)
def test_model_without_a_package_is_released_with_a_note(tmp_path: Path, name: str) -> None:
    content = two_inputs(tmp_path)
    folder, said = tmp_path / "packages" / name, list[str]()
    folder.mkdir(parents=True)
    maker = packager(name)
    assert maker.ships(content) == content.bundle.model_file.read_bytes()
    (note,) = maker.write(content, content.bundle.model_file, folder, said.append)
    assert note.startswith(f"no package for {name}: The model has 2 inputs") and "(give the network one" in note
    assert not folder.parent.exists()
    assert said == [f"warning: no package for {name}: The model has 2 inputs; a wrapper is written for one"]


@pytest.mark.parametrize("name", ["android", "linux"])
def test_format_of_torch_is_released_with_a_note(tmp_path: Path, name: str) -> None:
    content = made.content_of(tmp_path, made.manifest(format="torchscript", runtime="torch", file="model.pt"))
    (tmp_path / name).mkdir()
    maker = packager(name)
    assert maker.ships(content) == content.bundle.model_file.read_bytes()
    (note,) = maker.write(content, content.bundle.model_file, tmp_path / name, lambda _: None)
    assert "the format torchscript" in note
