"""The wrapper's Java source and, where a JDK is there, the classes made of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.release.content import Content
from pipeline.release.packages.ends import BOUNDS, SIZES, ends, spoken
from pipeline.release.packages.errors import NotCompiled, NotPackaged
from pipeline.release.packages.identifiers import Identifiers
from pipeline.release.packages.templating import TEMPLATES, rendered

RELEASE = 8
"""The Java version of the classes: what every D8 and R8 takes."""
FORMATS = ("tflite", "onnx", "ort")
"""Formats whose interpreters for Android take a ByteBuffer."""
MOST_LABELS = 2000
"""A class's initialiser can hold no more than 64 KiB of code; a model with more labels has them as an asset only."""
STUBS = TEMPLATES / "android" / "stubs"
_REMEDY = "let JAVA_HOME name a JDK of version 9 to 21, or take javac off PATH: then the AAR has no wrapper"


def source(content: Content, names: Identifiers) -> str:
    """The wrapper's source. Raises NotPackaged."""
    manifest = content.bundle.manifest
    if manifest.format not in FORMATS:
        raise NotPackaged(
            f"No Android package is written for the format {manifest.format}; {', '.join(FORMATS)} are known",
            where="the bundle's manifest: format",
            remedy="accept a variant for benchmark_model or onnxruntime: [[runtime]] in the target's file",
        )
    given, gives = ends(manifest, content.classifies)
    labels = spoken(content.labels)
    return rendered(
        "android/Model.java.j2",
        names=names,
        version=content.version,
        input=given,
        output=gives,
        suffix=Path(manifest.file).suffix,
        labels=labels if len(labels) <= MOST_LABELS else [],
        too_many=len(labels) > MOST_LABELS,
        sizes=SIZES,
        bounds=BOUNDS,
    )


def javac() -> Path | None:
    """JAVA_HOME's compiler, else the one on PATH; None where there is none."""
    if home := os.environ.get("JAVA_HOME"):
        own = Path(home) / "bin" / "javac"
        if own.is_file():
            return own
    found = shutil.which("javac")
    return Path(found) if found else None


def version(compiler: Path) -> str:
    """What the compiler calls itself: "javac 17.0.15". Raises NotCompiled."""
    said = [line for line in _run(compiler, ["-version"]).splitlines() if line.startswith("javac ")]
    return said[0].strip() if said else "javac"


def compiled(compiler: Path, text: str, names: Identifiers, lint: Sequence[str] = ("-nowarn",)) -> dict[str, bytes]:
    """Class files of the wrapper by their name in a jar; the same source and compiler give the same bytes.

    lint: javac's options for warnings. Compiled against stubs of the two Android classes that it calls. Raises
    NotCompiled.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-javac-") as scratch:
        made, file = Path(scratch) / "classes", Path(scratch) / f"{names.type}.java"
        made.mkdir()
        file.write_text(text, encoding="utf-8")
        own = names.package.replace(".", "/")
        stubs = [str(path) for path in sorted(STUBS.rglob("*.java"))]
        # Lines for stack traces, no paths. No -Werror here: what a later JDK warns of spoils no release.
        options = ["-encoding", "UTF-8", "-g:source,lines", "-proc:none", *lint, "-implicit:none"]
        _run(compiler, ["--release", str(RELEASE), *options, "-d", str(made), *stubs, str(file)])
        classes = sorted((made / own).glob("*.class"))
        return {f"{own}/{path.name}": path.read_bytes() for path in classes}


def _run(compiler: Path, arguments: list[str]) -> str:
    # Another locale would translate messages; a user's options (_JAVA_OPTIONS, JAVA_TOOL_OPTIONS, JDK_JAVAC_OPTIONS)
    # and class path are for other programs than this.
    others = re.compile(r".*(JAVA|JDK)_.*OPTIONS|CLASSPATH|LC_.*")
    environment = {key: value for key, value in os.environ.items() if not others.fullmatch(key)}
    try:
        done = subprocess.run(
            [compiler, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            env={**environment, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotCompiled(f"The Java compiler did not run: {error}", where=str(compiler), remedy=_REMEDY) from error
    if done.returncode != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[:3])
        raise NotCompiled(f"The wrapper does not compile: {said}", where=str(compiler), remedy=_REMEDY)
    return done.stdout + done.stderr
