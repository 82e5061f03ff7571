"""What an iOS or macOS app depends on: a Swift package with the model as a resource, Core ML's where it can be made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from edgewright.extras import MissingExtra
from edgewright.files import write_atomically
from pipeline.release.content import Content
from pipeline.release.packages import coreml
from pipeline.release.packages.ends import BOUNDS, SIZES, ends, spoken
from pipeline.release.packages.identifiers import identifiers
from pipeline.release.packages.templating import rendered
from pipeline.release.processing import LABELS, labels_file

Say = Callable[[str], None]

_KINDS = {"float32": "Float", "int32": "Int32", "int64": "Int64", "int8": "Int8", "uint8": "UInt8"}
NOT_ASKED = "no Mac here: the Core ML package was loaded back and looked at, but gave no prediction"
NOT_COMPILED = "no Swift compiler here: the Swift sources were not compiled"


def write(content: Content, model_file: Path, folder: Path, say: Say) -> list[str]:
    """Fills `folder` with a Swift package, <Name>/; returns notes. A bundle of torch becomes a Core ML package, where
    coremltools is there; any other model file is a resource as it is.

    Raises NoIdentifier, NotPackaged, NotConverted, OSError.
    """
    names = identifiers(content.model, content.target)
    given, gives = ends(content.bundle.manifest, content.classifies)
    package = folder / names.module
    sources = package / "Sources" / names.module
    sources.mkdir(parents=True)
    made, notes = _coreml(content, sources / f"{names.asset}.mlpackage", say)
    if not made:
        shutil.copyfile(model_file, sources / f"{names.asset}{model_file.suffix}")
    if given.unknown:
        notes.append(f"left to the app: {', '.join(given.unknown)} (of the data set's pre-processing)")
    extension = "mlpackage" if made else model_file.suffix.removeprefix(".")
    if content.labels:
        write_atomically(sources / LABELS, labels_file(content.labels))
    resources = [f"{names.asset}.{extension}", *([LABELS] if content.labels else [])]
    manifest = rendered("apple/Package.swift.j2", names=names, resources=resources)
    write_atomically(package / "Package.swift", manifest.encode())
    picture = coreml.takes_picture(given)
    wrapper = rendered(
        "apple/Model.swift.j2",
        names=names,
        version=content.version,
        labels=spoken(content.labels),
        input=given,
        output=gives,
        stem=names.asset,
        extension=extension,
        coreml=made,
        picture=picture,
        named=coreml.names_classes(content, gives),
        input_name=coreml.PICTURE if picture else coreml.INPUT,
        kinds=_KINDS,
        sizes=SIZES,
        bounds=BOUNDS,
    )
    write_atomically(sources / f"{names.type}.swift", wrapper.encode())
    return [*notes, NOT_COMPILED]


def _coreml(content: Content, path: Path, say: Say) -> tuple[bool, list[str]]:
    """Makes the Core ML package where there is a way to it; whether there was, and notes."""
    manifest = content.bundle.manifest
    if not coreml.convertible(manifest):
        return False, [f"{manifest.format} has no way to Core ML: the model file itself is the resource"]
    try:
        say("converting to Core ML")
        coreml.write_mlpackage(content, path)
    except MissingExtra as missing:
        return False, [f"no Core ML package: {missing.what.lower()} ({missing.remedy.split('    ')[0]})"]
    return True, [NOT_ASKED]
