"""The wrapper's Java source and, where a JDK is there, the classes made of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline.release.content import Content
from pipeline.release.packages.ends import BOUNDS, SIZES, ends, spoken
from pipeline.release.packages.errors import NotCompiled
from pipeline.release.packages.identifiers import Identifiers
from pipeline.release.packages.templating import TEMPLATES, rendered

RELEASE = 8
"""The Java version of the classes: what every D8 and R8 takes."""
MOST_LABELS = 2000
"""A class's initialiser can hold no more than 64 KiB of code; a model with more labels has them as an asset only."""
STUBS = TEMPLATES / "android" / "stubs"
_REMEDY = "let JAVA_HOME name a JDK of version 9 to 21, or take javac off PATH: then the AAR has no wrapper"


def source(content: Content, names: Identifiers) -> str:
    """The wrapper's source. Raises NotPackaged."""
    given, gives = ends(content.bundle.manifest, content.classifies)
    labels = spoken(content.labels)
    return rendered(
        "android/Model.java.j2",
        names=names,
        version=content.version,
        input=given,
        output=gives,
        labels=labels if len(labels) <= MOST_LABELS else [],
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
    return _run(compiler, ["-version"]).strip().splitlines()[-1]


def compiled(compiler: Path, text: str, names: Identifiers) -> dict[str, bytes]:
    """Class files of the wrapper by their name in a jar; the same source and compiler give the same bytes.

    Compiled against stubs of the two Android classes that it calls. Raises NotCompiled.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-javac-") as scratch:
        made, file = Path(scratch) / "classes", Path(scratch) / f"{names.type}.java"
        made.mkdir()
        file.write_text(text, encoding="utf-8")
        own = names.package.replace(".", "/")
        stubs = [str(path) for path in sorted(STUBS.rglob("*.java"))]
        # Lines for stack traces, no paths; warnings of our own code are errors, that Java 8 is old is known.
        options = ["-encoding", "UTF-8", "-g:source,lines", "-proc:none", "-Xlint:all,-options", "-Werror"]
        _run(compiler, ["--release", str(RELEASE), *options, "-implicit:none", "-d", str(made), *stubs, str(file)])
        classes = sorted((made / own).glob("*.class"))
        return {f"{own}/{path.name}": path.read_bytes() for path in classes}


def _run(compiler: Path, arguments: list[str]) -> str:
    # Another locale would translate what goes into messages; a user's JDK options are not for this.
    environment = {key: value for key, value in os.environ.items() if not re.fullmatch(r"JAVA_.*OPTIONS|LC_.*", key)}
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
