"""The AAR: an Android library of the model as an asset and of the wrapper's classes
(https://developer.android.com/studio/projects/android-library#aar-contents)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.release.archive import write_zip
from pipeline.release.content import Content
from pipeline.release.packages.identifiers import Identifiers
from pipeline.release.packages.templating import rendered
from pipeline.release.processing import labels_file

MIN_SDK = 21
JAR_MANIFEST = "META-INF/MANIFEST.MF"
_RULES = b"# The wrapper uses no reflection: nothing has to be kept.\n"


def write_aar(path: Path, content: Content, model_file: Path, names: Identifiers, classes: Mapping[str, bytes]) -> None:
    """Writes the library. classes: by name, the wrapper's class files; none where there was no JDK.

    Members are stored, not packed: so no build of zlib changes the bytes, and an APK packs them anyway. Raises OSError.
    """
    members: dict[str, bytes | Path] = {
        "AndroidManifest.xml": rendered("android/AndroidManifest.xml.j2", names=names, min_sdk=MIN_SDK).encode(),
        "R.txt": b"",
        "proguard.txt": _RULES,
        "classes.jar": jar_bytes(classes),
        f"assets/{names.asset}{model_file.suffix}": model_file,
    }
    if content.labels:
        members[f"assets/{names.asset}-labels.txt"] = labels_file(content.labels)
    write_zip(path, members, store=members)


def jar_bytes(files: Mapping[str, bytes]) -> bytes:
    """A jar, stored: its members sorted, which puts the manifest first."""
    members: dict[str, bytes | Path] = {JAR_MANIFEST: b"Manifest-Version: 1.0\r\n\r\n", **files}
    with tempfile.TemporaryDirectory(prefix="edgewright-jar-") as scratch:
        path = Path(scratch) / "classes.jar"
        write_zip(path, members, store=members)
        return path.read_bytes()
