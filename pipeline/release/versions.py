"""Semantic versions (semver.org, 2.0.0), the releases that a folder holds, and which version may come next."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.release.errors import BadVersion, MajorDemanded, NoRelease
from pipeline.release.places import is_folder

if TYPE_CHECKING:
    from pipeline.release.manifest import ReleaseManifest

_NUMBER = r"(?:0|[1-9]\d*)"
_PRE = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE}(?:\.{_PRE})*))?", re.ASCII)
_CALLED = re.compile(rf"(.+?)-{_VERSION.pattern}", re.ASCII)
_MOST = 64


@functools.total_ordering
@dataclass(frozen=True)
class Version:
    """A version. pre: what stands behind the hyphen, "" for a release proper. Ordered as section 11 says."""

    major: int
    minor: int
    patch: int
    pre: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises BadVersion. Build metadata (+...) is refused: two such versions would be equal, and one folder."""
        found = _VERSION.fullmatch(text) if len(text) <= _MOST else None
        if found is None:
            raise BadVersion(
                f"{text[:_MOST]!r} is no semantic version.",
                where="--version",
                remedy="give MAJOR.MINOR.PATCH, e.g. 1.2.0 or 1.2.0-rc.1 (https://semver.org)",
            )
        major, minor, patch, pre = found.groups()
        return cls(int(major), int(minor), int(patch), pre or "")

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}" + (f"-{self.pre}" if self.pre else "")

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[object, ...]:
        # Numbers before words, fewer words before more; a release proper after all that lead to it.
        words = [(0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.pre.split(".")] if self.pre else []
        return self.major, self.minor, self.patch, not self.pre, words

    def next_major(self) -> Version:
        return Version(self.major + 1, 0, 0)


@dataclass(frozen=True)
class Known:
    """A release that lies in a folder."""

    folder: Path
    version: Version
    manifest: ReleaseManifest


def known(releases: Path, name: str | None = None) -> list[Known]:
    """The releases in a folder, by name and version, oldest version first; of one model and target where `name` says.

    A folder that holds no readable release, or another one than it is called, is none: `doubtful` finds it. Raises
    NoRelease where the folder can't be looked into.
    """
    every = [one for one in map(_read, _folders(releases)) if one is not None]
    found = [one for one in every if one.folder.name == f"{one.manifest.name}-{one.version}"]
    return sorted(
        (one for one in found if name in (None, one.manifest.name)), key=lambda one: (one.manifest.name, one.version)
    )


def doubtful(releases: Path, name: str | None = None) -> list[Path]:
    """Folders that are called as releases are (of one model and target where `name` says) and hold none that can be
    read. Raises NoRelease."""
    called = [(folder, _CALLED.fullmatch(folder.name)) for folder in _folders(releases)]
    mine = [folder for folder, found in called if found and name in (None, found[1]) and is_folder(folder)]
    return [folder for folder in mine if _read(folder) is None]


def _read(folder: Path) -> Known | None:
    from pipeline.release.manifest import read

    try:
        manifest = read(folder)
        return Known(folder, Version.parse(manifest.version), manifest)
    except (NoRelease, BadVersion):
        return None


def _folders(releases: Path) -> list[Path]:
    try:
        return sorted(releases.iterdir()) if is_folder(releases) else []
    except OSError as error:
        raise NoRelease(
            f"The releases there can't be looked at: {error.strerror}.",
            where=str(releases),
            remedy="see who owns that folder, or name another one: --out DIR",
        ) from error


def promised(earlier: Sequence[Known]) -> Known | None:
    """The newest release that apps rely on: a pre-release promises nothing (semver.org, 9)."""
    return next((one for one in reversed(earlier) if not one.version.pre), None)


def check_next(version: Version, newest: Known | None, changed: list[str], since: Known | None = None) -> None:
    """Whether `version` may follow the newest release. changed: what differs in the signature since the release
    `since`, which is the newest one where it is left out; a line each.

    Raises BadVersion, MajorDemanded.
    """
    if newest is None:
        return
    if version <= newest.version:
        raise BadVersion(
            f"{version} does not come after {newest.version}, the newest release of {newest.manifest.name}.",
            where=str(newest.folder.parent),
            remedy="give a greater version (or another folder: --out DIR)",
        )
    since = since or newest
    if changed and version.major <= since.version.major:
        raise MajorDemanded(
            f"An app of {since.version} would break on {version}: " + "; ".join(changed),
            where=str(since.folder),
            remedy=f"give a new major version: --version {since.version.next_major()}",
        )
