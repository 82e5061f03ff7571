"""A CHANGELOG entry for a person to finish: what changed since the newest earlier release, in figures.

It lies beside the releases and in none of them: what came before is no part of what a version is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewright.files import write_atomically
from pipeline.release.card import escaped, line
from pipeline.release.diff import Difference, between
from pipeline.release.manifest import ReleaseManifest
from pipeline.release.versions import Known, Version


def write(releases: Path, made: ReleaseManifest, known: Sequence[Known]) -> Path:
    """Writes CHANGELOG-<model>-<target>.draft.md. known: other releases of the model and target. Raises OSError."""
    path = releases / f"CHANGELOG-{made.name}.draft.md"
    before = [one for one in known if one.version < Version.parse(made.version)]
    last = max(before, key=lambda one: one.version, default=None)
    write_atomically(path, entry(made, between(last.manifest, made) if last else None).encode())
    return path


def entry(made: ReleaseManifest, since: Difference | None) -> str:
    """The entry, after https://keepachangelog.com; since: the difference to the release before, None for the first."""
    lines = [f"## {made.version}", ""]
    if made.unmeasured:
        lines += ["Not measured on a real device.", ""]
    if since is None:
        return "\n".join([*lines, "### Added", "", f"- {_first(made)}", ""])
    if since.changed:
        lines += ["### Changed, and apps must follow", "", *(f"- {line(one)}" for one in since.changed), ""]
    moved = [(what, a, b, said) for what, a, b, said in since.rows() if said != "the same"]
    if since.a.variant != made.variant:
        moved.insert(0, ("variant", since.a.variant, made.variant, ""))
    if since.a.runtime != made.runtime:
        moved.insert(0, ("runtime", since.a.runtime, made.runtime, ""))
    if not moved and not since.changed:
        lines += [f"No figure changed since {since.a.version}.", ""]
    if moved:
        lines += ["### Changed", "", *(f"- {_line(*row)}" for row in moved), ""]
    return "\n".join(lines)


def _first(made: ReleaseManifest) -> str:
    return f"The first release of {escaped(made.model)} for {escaped(made.target)}: {escaped(made.variant)}."


def _line(what: str, a: str, b: str, said: str) -> str:
    return line(f"{what}: {a} to {b}" + (f" ({said})" if said else ""))
