"""Writes a release folder, whole or not at all; where one is, it stays."""

from __future__ import annotations

import glob
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.files import alone, sha256_file, whole_folder, write_atomically
from pipeline.project import Project
from pipeline.release import card, changelog, checksums, manifest, processing, provenance, sample, sbom, signing
from pipeline.release.content import Content
from pipeline.release.errors import NotWritten, VersionExists
from pipeline.release.history import Made
from pipeline.release.keys import SigningKey
from pipeline.release.manifest import Package, ReleaseManifest, manifest_of
from pipeline.release.packages import chosen, packager
from pipeline.release.provenance import Source
from pipeline.release.versions import Known

LOCK = "locks/releases"
BUNDLE = "bundle.json"
_NAMED = 5
_STALE_S = 3600.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Released:
    """A release that lies in `folder`. new: whether it was made now, else it was there, equal to the bit.

    draft: the CHANGELOG entry for a person to finish, None where nothing was made.
    """

    folder: Path
    manifest: ReleaseManifest
    digest: str
    new: bool
    draft: Path | None

    def to_json(self) -> dict[str, Any]:
        """As release --json writes it."""
        told = {"schema": "edgewright-released/1", "folder": str(self.folder), "sha256sums": self.digest}
        return told | {"new": self.new, "manifest": self.manifest.model_dump(mode="json", by_alias=True)}


@dataclass(frozen=True)
class Gathered:
    """What the files are made of."""

    content: Content
    source: Source
    steps: Sequence[Made]
    about_data: str
    floor: float


def write(
    project: Project, folder: Path, given: Gathered, key: SigningKey, earlier: Sequence[Known], say: Say
) -> Released:
    """The release in `folder`, one process of the project at a time. earlier: other releases of the model and target.

    Raises VersionExists, NotWritten, and what the packagers do.
    """
    try:
        with alone(project.state / LOCK):
            _sweep(folder)
            return _written(folder, given, key, earlier, say)
    except OSError as error:
        raise NotWritten(
            f"The release can't be written: {error.strerror or error}",
            where=str(error.filename or folder),
            remedy="see who owns that, and make room there",
        ) from error


class _There(Exception):
    """A release is there already; `differing`: where it has other files, or other content in them."""

    def __init__(self, differing: list[str]) -> None:
        super().__init__()
        self.differing = differing


def _written(folder: Path, given: Gathered, key: SigningKey, earlier: Sequence[Known], say: Say) -> Released:
    """Renamed into place once it is whole; where a release is it stays. Raises VersionExists, NotWritten."""
    try:
        with whole_folder(folder) as made:
            told = _fill(made, given, key, say)
            _plain_modes(made)
            if folder.exists():
                raise _There(checksums.differing(folder, made))
    except _There as there:
        if there.differing:
            raise _exists(folder, there.differing) from None
        return Released(folder, manifest.read(folder), sha256_file(folder / checksums.FILE), False, None)
    except OSError as error:
        raise NotWritten(
            f"The release can't be written: {error.strerror or error}",
            where=str(folder),
            remedy="make room there, or name another folder: --out DIR",
        ) from error
    return Released(folder, told, sha256_file(folder / checksums.FILE), True, _draft(folder.parent, told, earlier, say))


def _draft(releases: Path, told: ReleaseManifest, earlier: Sequence[Known], say: Say) -> Path | None:
    """The CHANGELOG's; None where it can't be written: the release is there all the same."""
    try:
        return changelog.write(releases, told, earlier)
    except OSError as error:
        say(f"warning: the CHANGELOG entry can't be drafted: {error.strerror or error}")
        return None


def _sweep(folder: Path) -> None:
    """What a release of that version left behind when it was killed. Younger ones may be another project's at work."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.????????"):
        if left.stat().st_mtime < time.time() - _STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _exists(folder: Path, differing: list[str]) -> VersionExists:
    named = ", ".join(differing[:_NAMED]) + (f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else "")
    signed_only = set(differing) <= {signing.BUNDLE_SIGNATURE, checksums.FILE, checksums.SIGNATURE}
    why = "signed by another key" if signed_only else f"other: {named}"
    return VersionExists(
        f"That version was released already, and what would be written is {why}.",
        where=str(folder),
        remedy="give the next version: an app may have this one",
    )


def _fill(folder: Path, given: Gathered, key: SigningKey, say: Say) -> ReleaseManifest:
    """Writes every file of a release into an empty folder."""
    content, bundle = given.content, given.content.bundle.manifest
    maker = packager(chosen(bundle))
    shipped = maker.ships(content)
    files: dict[str, bytes] = {
        f"{manifest.MODEL}/{bundle.file}": shipped,
        f"{manifest.MODEL}/{BUNDLE}": bundle.canonical(),
        processing.FILE: processing.written(content),
        **{f"sample/{name}": found for name, found in sample.files(content).items()},
    }
    if content.labels:
        files[processing.LABELS] = processing.labels_file(content.labels)
    _write(folder, files)
    place = folder / "packages" / maker.name
    place.mkdir(parents=True)
    notes = maker.write(content, folder / manifest.MODEL / bundle.file, place, say)
    packed = [f"packages/{maker.name}/{path}" for path in checksums.paths(place)]
    told = manifest_of(content, shipped, [Package(name=maker.name, files=packed, notes=notes)], given.floor)
    ships = {path: sha256_file(folder / path) for path in [told.model_file.path, *packed]}
    account = card.sections(content, told, given.source, given.steps, given.about_data)
    _write(
        folder,
        {
            manifest.FILE: told.written(),
            card.MARKDOWN: card.markdown(told, account).encode("utf-8", "replace"),
            card.HTML: card.page(told, account).encode("utf-8", "replace"),
            sbom.FILE: sbom.sbom(content, told, given.source),
            provenance.FILE: provenance.provenance(content, ships, given.source, given.steps),
            signing.BUNDLE_SIGNATURE: signing.bundle_signature(bundle.canonical(), key),
        },
    )
    _write(folder, {checksums.FILE: checksums.sums(folder)})
    signing.sign_release(folder, key)
    return told


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, found in files.items():
        write_atomically(folder / name, found)


def _plain_modes(folder: Path) -> None:
    """The same modes whatever the umask: an archive of the folder is the same too."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
