"""What an Android app depends on: the model in an AAR with a typed wrapper, in a Maven repository of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.release.content import Content
from pipeline.release.packages import java
from pipeline.release.packages.aar import jar_bytes, write_aar
from pipeline.release.packages.ends import ends
from pipeline.release.packages.identifiers import identifiers
from pipeline.release.packages.maven import write_repository
from pipeline.release.packages.metadata import ships

__all__ = ["ships", "write"]

Say = Callable[[str], None]


def write(content: Content, model_file: Path, folder: Path, say: Say) -> list[str]:
    """Fills `folder` with maven/, the repository; returns notes.

    Raises NoIdentifier, NotPackaged, NotCompiled, OSError.
    """
    names = identifiers(content.model, content.target, content.about.group)
    text = java.source(content, names)
    compiler, classes, notes = java.javac(), {}, [f"{names.group}:{names.artifact}:{content.version}"]
    if compiler:
        say(f"compiling {names.type}")
        classes = java.compiled(compiler, text, names)
        notes.append(f"wrapper {names.package}.{names.type}, compiled by {java.version(compiler)}")
    else:
        notes.append("no JDK here: the AAR holds resources only; the wrapper's source is in -sources.jar")
    if model_file.suffix != ".tflite":
        kept = f'androidResources {{ noCompress "{model_file.suffix[1:]}" }}'
        notes.append(f"the app has to keep the model uncompressed: {kept}")
    given, _ = ends(content.bundle.manifest, content.classifies)
    if given.unknown:
        notes.append(f"left to the app: {', '.join(given.unknown)} (of the data set's pre-processing)")
    with tempfile.TemporaryDirectory(prefix="edgewright-aar-") as scratch:
        aar = Path(scratch) / "library.aar"
        write_aar(aar, content, model_file, names, classes)
        sources = jar_bytes({f"{names.package.replace('.', '/')}/{names.type}.java": text.encode()})
        write_repository(folder / "maven", content, names, {".aar": aar.read_bytes(), "-sources.jar": sources})
    return notes
