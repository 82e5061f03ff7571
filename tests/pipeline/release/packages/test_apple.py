"""The Swift package: its layout, what its sources say, and which resource it holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.release.content import Content
from pipeline.release.packages import apple, coreml
from pipeline.release.packages.errors import NoIdentifier
from tests.pipeline.release.packages import made

VARIANTS: dict[str, dict[str, Any]] = {
    "channels last": {},
    "channels first": {"inputs": [{"name": "i", "dtype": "float32", "shape": [1, 3, 8, 6]}]},
    "int8": {
        "inputs": [{"name": "i", "dtype": "int8", "shape": [1, 8, 6, 3], "layout": "channels-last", "scale": 0.02}],
        "outputs": [{"name": "o", "dtype": "int8", "shape": [1, 4], "scale": 0.1, "zero_point": -3}],
    },
    "tokens": {"inputs": [{"name": "i", "dtype": "int64", "shape": [1, 6]}], "preprocessing": {"padding": 7}},
    "numbers": {"inputs": [{"name": "i", "dtype": "float32", "shape": [1, 6]}], "preprocessing": {}, "labels": None},
}


def packaged(folder: Path, content: Content) -> tuple[Path, list[str]]:
    """The package's folder and the notes."""
    folder.mkdir(parents=True)
    notes = apple.write(content, content.bundle.model_file, folder, lambda _: None)
    return folder / "TinyNet", notes


def of(tmp_path: Path, **changes: Any) -> Content:
    return made.content_of(tmp_path, made.manifest(**{"target": "ios"} | changes))


def balanced(source: str) -> bool:
    """Whether every bracket outside of strings and comments has its other half."""
    plain = re.sub(r'"(\\.|[^"\\])*"|//[^\n]*', "", source)
    open_: list[str] = []
    for one in plain:
        if one in "([{":
            open_.append(one)
        elif one in ")]}" and (not open_ or open_.pop() + one not in ("()", "[]", "{}")):
            return False
    return not open_


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_sources_are_whole(tmp_path: Path, changes: dict[str, Any]) -> None:
    package, _ = packaged(tmp_path / "apple", of(tmp_path, **changes))
    sources = sorted(package.rglob("*.swift"))
    assert [path.name for path in sources] == ["Package.swift", "TinyNetModel.swift"]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert balanced(text) and "{{" not in text and "{%" not in text
    assert sources[0].read_text().startswith("// swift-tools-version:5.7\n")


def test_package_copies_every_resource_that_lies_there(tmp_path: Path) -> None:
    package, notes = packaged(tmp_path / "apple", of(tmp_path))
    named = re.findall(r'\.copy\("([^"]+)"\)', (package / "Package.swift").read_text())
    folder = package / "Sources" / "TinyNet"
    assert named == ["tiny-net.tflite", "labels.txt"]
    assert {path.name for path in folder.iterdir()} == {*named, "TinyNetModel.swift"}
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == made.LABELS
    assert any("no way to Core ML" in note for note in notes) and any("not compiled" in note for note in notes)


def test_wrapper_says_what_the_manifest_says(tmp_path: Path) -> None:
    package, _ = packaged(tmp_path / "apple", of(tmp_path, **VARIANTS["int8"]))
    text = (package / "Sources" / "TinyNet" / "TinyNetModel.swift").read_text(encoding="utf-8")
    assert 'forResource: "tiny-net", withExtension: "tflite"' in text
    assert "value -= step2[channel]" in text and "step2: [Float] = [0.2, 0.5, 0.4]" in text
    assert "Int8(max(-128, min(127, steps)))" in text
    assert "(Float($0) - -3.0) * 0.1" in text
    assert '"*/ nothing ${x} \\\\(y)",' in text


def test_without_coremltools_it_says_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "coremltools", None)
    package, notes = packaged(tmp_path / "apple", of(tmp_path, format="torchscript", runtime="torch", file="model.pt"))
    assert any("./inv setup apple" in note for note in notes)
    assert (package / "Sources" / "TinyNet" / "tiny-net.pt").is_file()


@pytest.mark.parametrize(
    ("variant", "takes"),
    [("channels first", "_ picture: CGImage"), ("tokens", "_ values: [Int32]"), ("numbers", "")],
)
def test_with_core_ml_the_wrapper_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, takes: str
) -> None:
    def converted(content: Content, folder: Path) -> None:
        folder.mkdir()
        (folder / "Manifest.json").touch()

    monkeypatch.setattr(coreml, "write_mlpackage", converted)
    told = {"format": "torchscript", "runtime": "torch", "file": "model.pt"} | VARIANTS[variant]
    package, notes = packaged(tmp_path / "apple", of(tmp_path, **told))
    text = (package / "Sources" / "TinyNet" / "TinyNetModel.swift").read_text(encoding="utf-8")
    assert balanced(text) and "import CoreML\n" in text and 'withExtension: "mlpackage"' in text
    # Without labels there is nothing to name, and the steps are in the model.
    assert (f"classify({takes}, with model: MLModel)" in text) == bool(takes) and "preprocess" not in text
    assert '.copy("tiny-net.mlpackage")' in (package / "Package.swift").read_text()
    assert apple.NOT_ASKED in notes


def test_packaged_twice_gives_equal_bytes(tmp_path: Path) -> None:
    content = of(tmp_path)
    one, other = (packaged(tmp_path / name, content)[0] for name in ("one", "other"))
    assert {path.relative_to(one): path.read_bytes() for path in one.rglob("*") if path.is_file()} == {
        path.relative_to(other): path.read_bytes() for path in other.rglob("*") if path.is_file()
    }


def test_model_without_a_letter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoIdentifier):
        packaged(tmp_path / "apple", of(tmp_path, model="\u732b"))
