"""A Maven repository of one artifact, in a folder: what `implementation("group:name:version")` resolves from
(https://maven.apache.org/repositories/layout.html)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from edgewright.files import write_atomically
from pipeline.release.content import Content
from pipeline.release.packages.errors import MovingVersion
from pipeline.release.packages.identifiers import Identifiers
from pipeline.release.packages.templating import rendered

CHECKSUMS = ("md5", "sha1", "sha256")


def write_repository(folder: Path, content: Content, names: Identifiers, files: Mapping[str, bytes]) -> None:
    """Writes the artifact and its POM below `folder`, each with its checksums, and maven-metadata.xml without a clock.

    files: by what follows the version in their names, e.g. ".aar", "-sources.jar". Raises MovingVersion, OSError.
    """
    if content.version.upper().endswith("-SNAPSHOT"):
        raise MovingVersion(
            f"{content.version} is a version that moves, to Maven: it would look for another layout",
            where="the release's version",
            remedy="--version with another ending, such as -rc.1",
        )
    values = {"names": names, "version": content.version, "about": content.about}
    place = folder.joinpath(*names.group.split("."), names.artifact)
    for end, data in {**files, ".pom": rendered("android/artifact.pom.j2", **values).encode()}.items():
        _write(place / content.version / f"{names.artifact}-{content.version}{end}", data)
    _write(place / "maven-metadata.xml", rendered("android/maven-metadata.xml.j2", **values).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    for kind in CHECKSUMS:
        digest = hashlib.new(kind, data, usedforsecurity=False).hexdigest()
        write_atomically(path.with_name(f"{path.name}.{kind}"), digest.encode())
