"""Semantic versions (semver.org, 2.0.0), the releases that a folder holds, and which version may come next."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.release.errors import BadVersion, MajorDemanded, NoRelease

if TYPE_CHECKING:
    from pipeline.release.manifest import ReleaseManifest

_NUMBER = r"(?:0|[1-9]\d*)"
_PRE = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE}(?:\.{_PRE})*))?", re.ASCII)
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

    A folder that holds no readable release, or another one than it is called, is none.
    """
    from pipeline.release.manifest import read

    found = []
    for folder in sorted(releases.iterdir()) if releases.is_dir() else ():
        try:
            manifest = read(folder)
            version = Version.parse(manifest.version)
        except (NoRelease, BadVersion):
            continue
        if folder.name == f"{manifest.name}-{version}" and name in (None, manifest.name):
            found.append(Known(folder, version, manifest))
    return sorted(found, key=lambda one: (one.manifest.name, one.version))


def check_next(version: Version, newest: Known | None, changed: list[str]) -> None:
    """Whether `version` may follow the newest release. changed: what differs in the signature since, a line each.

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
    if changed and version.major <= newest.version.major:
        raise MajorDemanded(
            f"An app of {newest.version} would break on {version}: " + "; ".join(changed),
            where=str(newest.folder),
            remedy=f"give a new major version: --version {newest.version.next_major()}",
        )
