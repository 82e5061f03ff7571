"""Which old releases may go: the newest few of each major version stay, and whatever a rollout has put on a device."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.errors import BadArgument
from edgewright.files import sha256_file
from pipeline.release import checksums
from pipeline.release.errors import NotWritten
from pipeline.release.versions import Known, doubtful, known

ROLLOUTS = "rollouts"


@dataclass(frozen=True)
class Pruned:
    """go: releases that are, or would be, removed; stay: the others, each with why. done: whether they are gone.

    doubtful: folders that are called like releases and can't be read as such; they stay.
    """

    go: list[Known]
    stay: list[tuple[Known, str]]
    done: bool
    doubtful: Sequence[Path] = ()

    def lines(self) -> list[str]:
        """What ./inv release.prune prints."""
        word = "removed" if self.done else "would go"
        lines = [f"  {word:<10} {one.folder.name}" for one in self.go]
        lines += [f"  {'stays':<10} {one.folder.name}  ({why})" for one, why in self.stay]
        lines += [f"  {'stays':<10} {one.name}  (no release that can be read)" for one in self.doubtful]
        if self.go and not self.done:
            lines.append("  nothing was removed: type it again with --remove")
        return lines or ["  no releases there"]

    def to_json(self) -> dict[str, Any]:
        """The same as one JSON object."""
        stay = [{"release": one.folder.name, "why": why} for one, why in self.stay]
        stay += [{"release": one.name, "why": "no release that can be read"} for one in self.doubtful]
        return {"schema": "edgewright-prune/1", "done": self.done, "go": [x.folder.name for x in self.go], "stay": stay}


def prune(releases: Path, state: Path, keep: int, remove: bool = False) -> Pruned:
    """Drops all but the newest `keep` of each model, target and major version. remove: else nothing is touched.

    state: the project's, whose rollouts name what is installed. Raises BadArgument, NoRelease, NotWritten.
    """
    if keep < 1:
        raise BadArgument(f"{keep} releases can't be kept", where="--keep", remedy="--keep 3 keeps the newest three")
    installed = set(_installed(state / ROLLOUTS))
    groups: dict[tuple[str, int], list[Known]] = defaultdict(list)
    for one in known(releases):
        groups[one.manifest.name, one.version.major].append(one)
    go: list[Known] = []
    stay: list[tuple[Known, str]] = []
    for (_, major), found in sorted(groups.items()):
        for one in found[:-keep]:
            if {str(one.folder.resolve()), _sums(one.folder)} & installed:
                stay.append((one, "a rollout has put it on a device"))
            else:
                go.append(one)
        stay += [(one, f"one of the newest {keep} of version {major}") for one in found[-keep:]]
    doubted = doubtful(releases)
    if remove:
        for one in go:
            _remove(one.folder)
    return Pruned(go, stay, remove, doubted)


def _sums(folder: Path) -> str:
    """SHA-256 of a release's SHA256SUMS: what a rollout calls it by."""
    try:
        return sha256_file(folder / checksums.FILE)
    except OSError:
        return ""


def _installed(rollouts: Path) -> Iterator[str]:
    """Paths and digests of the releases that rollouts have dealt with. Raises NotWritten for a record that can't be
    read: what it installed is not known then."""
    for path in sorted(rollouts.glob("*.json")):
        try:
            yield from _texts(json.loads(path.read_bytes())["release"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotWritten(
                f"A rollout's record can't be read, so what it has installed is not known: {error}",
                where=str(path),
                remedy="./inv fleet says what runs where; remove that file once nothing of it does",
            ) from error


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value; paths as they are once links are followed."""
    if isinstance(value, str):
        yield value
        if "/" in value:
            yield str(Path(value).resolve())
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _remove(folder: Path) -> None:
    """Out of sight by one rename first: never half a release under its name."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as away:
            # No shutil.move: where a rename fails, that copies, and removes file by file.
            folder.rename(Path(away) / folder.name)
    except OSError as error:
        raise NotWritten(
            f"The release can't be removed: {error.strerror or error}",
            where=str(folder),
            remedy="see who owns it, then type the same again",
        ) from error
