"""The Java wrapper: its source says what the manifest says; on a JVM it prepares samples as numpy does, to the bit."""

from __future__ import annotations

import struct
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


def wrapper(tmp_path: Path, manifest: Any) -> Path:
    """The wrapper's classes, beside Run and a working AssetManager."""
    text = java.source(made.content_of(tmp_path, manifest), NAMES)
    source = tmp_path / f"{NAMES.type}.java"
    source.write_text(text, encoding="utf-8")
    programs = [jdk.PROGRAMS / "Run.java", *(jdk.PROGRAMS / "android").rglob("*.java")]
    return jdk.compiled(tmp_path / "classes", source, *programs)


def prepared(tmp_path: Path, classes: Path, how: str, raw: Any) -> bytes:
    """What the wrapper makes of a raw sample."""
    given, out = tmp_path / "given", tmp_path / "made"
    given.write_bytes(raw.tobytes())
    done = jdk.run("Run", f"{NAMES.package}.{NAMES.type}", how, given, out, classpath=[classes])
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


def test_source_without_labels_has_none(tmp_path: Path) -> None:
    assert "Collections.<String>emptyList()" in java.source(made.content(tmp_path, labels=None), NAMES)


@pytest.mark.parametrize("value", [0.286, 1 / 3, 255, 1e-30, 3.4e38, 16777217, -0.0])
def test_float32_reads_back_to_the_bit(value: float) -> None:
    text = float32(value)
    assert struct.pack("f", float(text)) == struct.pack("f", value)
    assert any(one in text for one in ".e")


def test_swift_quotes_what_would_end_or_fill_a_string() -> None:
    assert swift('a"\\(b)\n\u00c4') == '"a\\"\\\\(b)\\u{a}\u00c4"'


def test_compiled_twice_gives_equal_bytes(tmp_path: Path) -> None:
    text = java.source(made.content(tmp_path), NAMES)
    classes = java.compiled(jdk.compiler(), text, NAMES)
    assert classes == java.compiled(jdk.compiler(), text, NAMES)
    # Java 8's class files, and none of the stubs.
    assert {data[:8] for data in classes.values()} == {bytes.fromhex("cafebabe00000034")}
    assert all(name.startswith("edgewright/models/tiny_net/TinyNetModel") for name in classes)


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
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preprocessing": {"divide_by": 127.5, "subtract": 1}},
        {"inputs": [{"name": "i", "dtype": "float32", "shape": [1, 3, 8, 6]}]},
        {
            "inputs": [
                {
                    "name": "i",
                    "dtype": "int8",
                    "shape": [1, 8, 6, 3],
                    "layout": "channels-last",
                    "scale": 0.021,
                    "zero_point": -2,
                }
            ]
        },
        {"inputs": [{"name": "i", "dtype": "uint8", "shape": [1, 3, 8, 6], "scale": 0.013, "zero_point": 128}]},
    ],
    ids=["channels last", "minus one to one", "channels first", "int8", "uint8 channels first"],
)
def test_pictures_are_prepared_as_by_numpy(tmp_path: Path, changes: dict[str, Any]) -> None:
    import numpy as np

    manifest = made.manifest(**changes)
    given, _ = ends(manifest, True)
    pixels = np.random.default_rng(5).integers(0, 256, (8, 6, 3), np.uint8)
    classes = wrapper(tmp_path, manifest)
    assert prepared(tmp_path, classes, "bytes", pixels) == given.prepared(pixels).tobytes()
    assert prepared(tmp_path, classes, "floats", pixels.astype(np.float32)) == given.prepared(pixels).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "count"), [("int32", 3), ("int64", 9)])
def test_tokens_are_filled_up_and_cut(tmp_path: Path, dtype: str, count: int) -> None:
    import numpy as np

    inputs = [{"name": "i", "dtype": dtype, "shape": [1, 6]}]
    manifest = made.manifest(inputs=inputs, preprocessing={"tokenizer": "words", "tokens": 6, "padding": 7})
    tokens = np.arange(1, count + 1, dtype=np.int32)
    found = prepared(tmp_path, wrapper(tmp_path, manifest), "ints", tokens)
    assert np.frombuffer(found, dtype).tolist() == ([*range(1, count + 1), 7, 7, 7])[:6]


@pytest.mark.slow
def test_wrong_count_of_pixels_is_refused(tmp_path: Path) -> None:
    classes, given = wrapper(tmp_path, made.manifest()), tmp_path / "given"
    given.write_bytes(bytes(143))
    done = jdk.run("Run", f"{NAMES.package}.{NAMES.type}", "bytes", given, tmp_path / "out", classpath=[classes])
    assert done.returncode == 1 and "takes 144 values, not 143" in done.stderr


@pytest.mark.slow
def test_open_maps_the_asset_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "tiny-net.tflite").write_bytes(b"<<<<the model>>>>")
    classes = wrapper(tmp_path, made.manifest())
    done = jdk.run("Run", f"{NAMES.package}.{NAMES.type}", "open", tmp_path, tmp_path / "out", classpath=[classes])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == b"the model"


@pytest.mark.slow
@pytest.mark.parametrize("scale", [None, 0.05], ids=["float32", "int8"])
def test_top_is_the_soft_maximum(tmp_path: Path, scale: float | None) -> None:
    import numpy as np

    quantised = {"dtype": "int8", "scale": scale, "zero_point": -3} if scale else {"dtype": "float32"}
    logits = np.array([1.25, -0.5, 3.0, 1.25], np.float32)
    raw = (logits / scale - 3).round().astype(np.int8) if scale else logits
    classes = wrapper(tmp_path, made.manifest(outputs=[{"name": "o", "shape": [1, 4], **quantised}]))
    lines = prepared(tmp_path, classes, "top", raw).decode().splitlines()
    likely = np.exp(logits) / np.exp(logits).sum()
    assert [line.split()[0] for line in lines] == ["2", "0", "3"]
    assert lines[0].startswith(f"2 {made.LABELS[2]} ")
    assert [float(line.split()[-1]) for line in lines] == pytest.approx([likely[2], likely[0], likely[3]], rel=1e-5)
