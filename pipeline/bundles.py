"""Bundles as folders: laid out after a build, and found by what a person types, a folder, a package, the beginning of a
digest or `accepted`, the reference."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.agent.trust import SIGNATURE
from device_agents.bundle import Bundle, read_bundle, write_bundle
from device_agents.errors import BundleError
from device_agents.package import SUFFIX, read_manifest, unpack
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import alone
from pipeline.build import Done, bundle_folder
from pipeline.project import Project

if TYPE_CHECKING:
    from device_agents.farm.ledger.ledger import Ledger
    from pipeline.plan import Plan

ACCEPTED = "accepted"
LEAST_DIGITS = 6
LOCK = "locks/bundles"


class NothingAccepted(EdgewrightError):
    """No bundle is the reference of this model and target yet."""


class BundleGone(EdgewrightError):
    """A bundle that the ledger knows is not, or can't be kept, on this machine."""


def lay_out(project: Project, plan: Plan, built: dict[str, Done]) -> dict[str, Path]:
    """By variant, every bundle that was built, as a folder named by its digest; made again where it is damaged."""
    folders = {}
    for variant in plan.variants:
        artifact = built[variant.bundle].artifact
        if artifact is None:
            continue
        folder = project.state / "bundles" / artifact.summary["digest"]
        # Held while it is looked at too: another build of the same store may be laying the same folder out.
        with alone(project.state / LOCK):
            try:
                read_bundle(folder)
            except BundleError:
                read_bundle(bundle_folder(artifact, folder))
        folders[variant.name] = folder
    return folders


def keep_bundle(project: Project, bundle: Bundle) -> Bundle:
    """The bundle among the project's own, copied there where it lies elsewhere: so its digest finds it later.

    Raises BundleGone where it can't be written.
    """
    folder = project.state / "bundles" / bundle.digest
    try:
        with alone(project.state / LOCK):
            try:
                return read_bundle(folder)
            except BundleError:
                kept = write_bundle(folder, bundle.model_file, bundle.manifest)
                # Whoever signed it goes along: a device may trust them and not us.
                with suppress(FileNotFoundError):
                    shutil.copyfile(bundle.folder / SIGNATURE, folder / SIGNATURE)
                return kept
    except OSError as error:
        raise BundleGone(
            f"The bundle can't be copied to where its digest is looked for: {error.strerror or error}",
            where=str(folder),
            remedy="make room there, then run the same command again",
        ) from error


def find_bundle(project: Project, given: str) -> Bundle:
    """A bundle on this machine, checked; a package's is unpacked among the project's own.

    Raises BadArgument, BundleGone, BundleError, PackageError, PackageNotWritten.
    """
    known = project.state / "bundles"
    if folder := _folder(given):
        return read_bundle(folder)
    if given.endswith(SUFFIX):
        return unpacked(project, Path(given))
    if not is_digest(given):
        raise BadArgument(
            f"{given!r} is no bundle's folder, no package, and no beginning of a digest.",
            where="BUNDLE",
            remedy=f"name a folder of {project.shown(known)}, {LEAST_DIGITS} or more digits of its name, "
            f"a {SUFFIX} file, or {ACCEPTED}",
        )
    folders = sorted(path for path in known.glob(f"{given}*") if path.is_dir())
    if len(folders) > 1:
        raise BadArgument(
            f"{len(folders)} bundles begin with {given}.", where="BUNDLE", remedy="give more digits of the digest"
        )
    if not folders:
        raise BundleGone(
            f"No bundle on this machine begins with {given}.",
            where=project.shown(known),
            remedy="build it: ./inv build --target T --model M, or name its folder",
        )
    return read_bundle(folders[0])


def unpacked(project: Project, package: Path) -> Bundle:
    """The bundle of a package, among the project's own. Raises PackageError, PackageNotWritten."""
    with suppress(RuntimeError):  # ~ of nobody
        package = package.expanduser()
    folder = project.state / "bundles" / read_manifest(package).digest
    with alone(project.state / LOCK):
        try:
            return read_bundle(folder)
        except BundleError:
            return unpack(package, folder)


def _folder(given: str) -> Path | None:
    """The folder of that name; None where there is none, or none that we may look at."""
    try:
        folder = Path(given).expanduser()
        return folder if given and folder.is_dir() else None
    except (OSError, RuntimeError):  # a name that is too long, or ~ of nobody
        return None


def is_digest(given: str) -> bool:
    """Whether it can be the beginning of a bundle's digest."""
    return re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},64}}", given) is not None


def find_pair(project: Project, a: str, b: str) -> tuple[Bundle, Bundle]:
    """Two bundles to compare; one of them may be `accepted`, the reference of the other's model and target.

    Only for that is the ledger asked: a comparison needs none to begin.

    Raises NothingAccepted besides find_bundle's.
    """
    if a == b == ACCEPTED:
        raise BadArgument("Only one of the two can be the accepted bundle.", where="A, B", remedy="name the other one")
    if ACCEPTED not in (a, b):
        return find_bundle(project, a), find_bundle(project, b)
    from pipeline.ledger import open_ledger

    other = find_bundle(project, b if a == ACCEPTED else a)
    with open_ledger(project) as ledger:
        reference = accepted(project, ledger, other.manifest.model, other.manifest.target)
    return (reference, other) if a == ACCEPTED else (other, reference)


def accepted(project: Project, ledger: Ledger, model: str, target: str) -> Bundle:
    """The reference of a model and target. Raises NothingAccepted, BundleGone."""
    found = ledger.accepted(model, target)
    if found is None:
        raise NothingAccepted(
            f"No bundle of {model} for {target} was accepted yet.",
            where=ledger.where,
            remedy="./inv accept BUNDLE makes one the reference",
        )
    return find_bundle(project, found.bundle)
