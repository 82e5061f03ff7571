"""The Java wrapper: its source says what the manifest says; on a JVM it prepares samples as numpy does, to the bit."""

from __future__ import annotations

import struct
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pipeline.release.packages import java
from pipeline.release.packages.ends import ends
from pipeline.release.packages.errors import NotCompiled
from pipeline.release.packages.identifiers import Identifiers, identifiers
from pipeline.release.packages.templating import float32, swift
from tests.pipeline.release.packages import jdk, made

NAMES = identifiers("tiny-net", "android")


PICTURES: dict[str, dict[str, Any]] = {
    "channels last": {},
    "minus one to one": {"preprocessing": {"divide_by": 127.5, "subtract": 1}},
    "channels first": {"inputs": [{"name": "i", "dtype": "float32", "shape": [1, 3, 8, 6]}]},
    "in int8": {
        "inputs": [
            {**{"name": "i", "dtype": "int8", "shape": [1, 8, 6, 3], "scale": 0.021}, "zero_point": -2}
            | {"layout": "channels-last"}
        ]
    },
    "in uint8": {"inputs": [{"name": "i", "dtype": "uint8", "shape": [1, 3, 8, 6], "scale": 0.013, "zero_point": 128}]},
}
TOKENS = {"int32": 3, "int64": 9}
SCALES = {"scores": None, "scores in int8": 0.05}
VARIANTS = {
    **PICTURES,
    **{
        dtype: {
            "inputs": [{"name": "i", "dtype": dtype, "shape": [1, 6]}],
            "preprocessing": {"tokenizer": "words", "tokens": 6, "padding": 7},
        }
        for dtype in TOKENS
    },
    **{
        name: {
            "outputs": [
                {"name": "o", "shape": [1, 4]}
                | ({"dtype": "int8", "scale": scale, "zero_point": -3} if scale else {"dtype": "float32"})
            ]
        }
        for name, scale in SCALES.items()
    },
}
"""Manifests whose wrappers are run, by the model's name."""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wrappers' classes, beside Run and a working AssetManager: compiled at once, as javac starts slowly."""
    folder = tmp_path_factory.mktemp("wrappers")
    sources = [jdk.PROGRAMS / "Run.java", *(jdk.PROGRAMS / "android").rglob("*.java")]
    for name, changes in VARIANTS.items():
        names = identifiers(name, "android")
        (folder / name).mkdir()
        sources.append(folder / name / f"{names.type}.java")
        text = java.source(made.content_of(folder / name, made.manifest(**changes)), names)
        sources[-1].write_text(text, encoding="utf-8")
    return jdk.compiled(folder / "classes", *sources)


def called(classes: Path, name: str, how: str, given: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """One method of the wrapper of a model."""
    names = identifiers(name, "android")
    return jdk.run("Run", f"{names.package}.{names.type}", how, given, out, classpath=[classes])


def prepared(tmp_path: Path, classes: Path, name: str, how: str, raw: Any) -> bytes:
    """What the wrapper makes of a raw sample."""
    given, out = tmp_path / "given", tmp_path / "made"
    given.write_bytes(raw.tobytes())
    done = called(classes, name, how, given, out)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def test_identifiers_of_any_name_are_java(tmp_path: Path) -> None:
    assert identifiers("efficientnet-lite0", "pixel 8").artifact == "efficientnet-lite0-pixel-8"
    assert identifiers("efficientnet-lite0", "android").type == "EfficientnetLite0Model"
    assert identifiers("3d-naïve", "android") == Identifiers(
        "edgewright.models", "3d-naive-android", "3d-naive", "Model3dNaiveModel", "edgewright.models.model_3d_naive"
    )
    assert identifiers("new", "android").package == "edgewright.models.model_new"


def test_source_quotes_labels(tmp_path: Path) -> None:
    text = java.source(made.content(tmp_path), NAMES)
    assert r'"a \"dog\"",' in text and r'"\u00c4pfel\\birnen",' in text and '"*/ nothing ${x} \\\\(y)"' in text
    assert text.isascii()


def test_more_labels_than_a_class_holds_are_said_to_be_elsewhere(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(java.MOST_LABELS + 1)]
    text = java.source(made.content_of(tmp_path, made.manifest(labels=names)), NAMES)
    assert "empty: so many are among the assets only" in text and "the model says none" not in text


def test_source_without_labels_has_none(tmp_path: Path) -> None:
    assert "Collections.<String>emptyList()" in java.source(made.content(tmp_path, labels=None), NAMES)


@pytest.mark.parametrize("value", [0.286, 1 / 3, 255, 1e-30, 3.4e38, 16777217, -0.0])
def test_float32_reads_back_to_the_bit(value: float) -> None:
    text = float32(value)
    assert struct.pack("f", float(text)) == struct.pack("f", value)
    assert any(one in text for one in ".e")


def test_swift_quotes_what_would_end_or_fill_a_string() -> None:
    assert swift('a"\\(b)\n\u00c4') == '"a\\"\\\\(b)\\u{a}\u00c4"'


def test_wrapper_is_compiled_for_java_8_without_a_warning(tmp_path: Path) -> None:
    text = java.source(made.content(tmp_path), NAMES)
    classes = java.compiled(jdk.compiler(), text, NAMES, ("-Xlint:all,-options", "-Werror"))
    # Java 8's class files, and none of the stubs.
    assert {data[:8] for data in classes.values()} == {bytes.fromhex("cafebabe00000034")}
    assert all(name.startswith("edgewright/models/tiny_net/TinyNetModel") for name in classes)


def test_options_of_a_user_and_warnings_spoil_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"):
        monkeypatch.setenv(name, "-Duser.home=/home/ada")
    monkeypatch.setenv("JDK_JAVAC_OPTIONS", "-Xlint:all -Werror")
    monkeypatch.setenv("CLASSPATH", "/nowhere/library.jar")
    assert java.version(jdk.compiler()).startswith("javac ")
    # What a later JDK finds obsolete, as this one does Date's constructor.
    obsolete = "private TinyNetModel() { new java.util.Date(1, 2, 3); }"
    text = java.source(made.content(tmp_path), NAMES).replace("private TinyNetModel() {}", obsolete)
    assert obsolete in text and java.compiled(jdk.compiler(), text, NAMES)


def test_compiler_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotCompiled) as caught:
        java.compiled(jdk.compiler(), "class Broken {", NAMES)
    assert "javac" in caught.value.where and "JAVA_HOME" in caught.value.remedy


def test_compiler_that_is_none_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "javac"
    broken.write_text("no program")
    broken.chmod(0o755)
    with pytest.raises(NotCompiled, match="did not run"):
        java.version(broken)


def test_java_home_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "bin" / "javac"
    own.parent.mkdir()
    own.touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.javac() == own
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.javac() is None


@pytest.mark.slow
def test_lines_of_the_manual_compile(project_root: Path, tmp_path: Path) -> None:
    manual = (project_root / "docs" / "android-app.md").read_text(encoding="utf-8")
    lines = textwrap.dedent(manual.partition("\nJava:\n")[2].partition("\nKotlin:\n")[0])
    (tmp_path / "Clothes.java").write_text(lines, encoding="utf-8")
    inputs = [{"name": "input", "dtype": "float32", "shape": [1, 28, 28, 1], "layout": "channels-last"}]
    grey = made.manifest(inputs=inputs, model="resnet8", preprocessing={"divide_by": 255})
    source = tmp_path / "Resnet8Model.java"
    source.write_text(java.source(made.content_of(tmp_path, grey), identifiers("resnet8", "android")), encoding="utf-8")
    stand_ins = [*(jdk.PROGRAMS / "android").rglob("*.java"), *(jdk.PROGRAMS / "org").rglob("*.java")]
    jdk.compiled(tmp_path / "classes", source, tmp_path / "Clothes.java", *stand_ins)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_prepared_as_by_numpy(tmp_path: Path, classes: Path, name: str) -> None:
    import numpy as np

    given, _ = ends(made.manifest(**PICTURES[name]), True)
    pixels = np.random.default_rng(5).integers(0, 256, (8, 6, 3), np.uint8)
    wanted = given.prepared(pixels).tobytes()
    assert prepared(tmp_path, classes, name, "bytes", pixels) == wanted
    assert prepared(tmp_path, classes, name, "floats", pixels.astype(np.float32)) == wanted


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "count"), TOKENS.items())
def test_tokens_are_filled_up_and_cut(tmp_path: Path, classes: Path, dtype: str, count: int) -> None:
    import numpy as np

    tokens = np.arange(1, count + 1, dtype=np.int32)
    found = prepared(tmp_path, classes, dtype, "ints", tokens)
    assert np.frombuffer(found, dtype).tolist() == ([*range(1, count + 1), 7, 7, 7])[:6]


@pytest.mark.slow
def test_wrong_count_of_pixels_is_refused(tmp_path: Path, classes: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(bytes(143))
    done = called(classes, "channels last", "bytes", given, tmp_path / "out")
    assert done.returncode == 1 and "takes 144 values, not 143" in done.stderr


@pytest.mark.slow
def test_open_maps_the_asset_and_nothing_beside_it(tmp_path: Path, classes: Path) -> None:
    (tmp_path / "scores.tflite").write_bytes(b"<<<<the model>>>>")
    done = called(classes, "scores", "open", tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == b"the model"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), SCALES.items())
def test_top_is_the_soft_maximum(tmp_path: Path, classes: Path, name: str, scale: float | None) -> None:
    import numpy as np

    logits = np.array([1.25, -0.5, 3.0, 1.25], np.float32)
    raw = (logits / scale - 3).round().astype(np.int8) if scale else logits
    lines = prepared(tmp_path, classes, name, "top", raw).decode().splitlines()
    likely = np.exp(logits) / np.exp(logits).sum()
    assert [line.split()[0] for line in lines] == ["2", "0", "3"]
    assert lines[0].startswith(f"2 {made.LABELS[2]} ")
    assert [float(line.split()[-1]) for line in lines] == pytest.approx([likely[2], likely[0], likely[3]], rel=1e-5)
