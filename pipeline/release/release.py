"""Makes a release folder out of the accepted bundle of a model and target: whole or not at all, the same every time.

What goes in: the bundle, the version, the recipe's text, what the store still says of the bundle's steps, the reports
that it was accepted on, the key, and the packagers' tools. No clock, no path, no name of a person or a machine.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import BadArgument
from edgewright.files import alone, sha256_file, whole_folder, write_atomically
from edgewright.progress import Progress
from models.data import SHIPPED
from pipeline import data
from pipeline.bundles import NothingAccepted, accepted
from pipeline.plan import Plan, make_plan
from pipeline.project import Project
from pipeline.recipe import Recipe, read_recipe
from pipeline.release import card, changelog, checksums, manifest, processing, provenance, sample, sbom, signing
from pipeline.release.content import Content
from pipeline.release.diff import signature_changes
from pipeline.release.errors import NotWritten, Unmeasured, VersionExists
from pipeline.release.evidence import gather
from pipeline.release.history import Made, history
from pipeline.release.keys import SigningKey
from pipeline.release.manifest import Package, ReleaseManifest, manifest_of, signature_of
from pipeline.release.packages import chosen, packager
from pipeline.release.provenance import Source
from pipeline.release.versions import Known, Version, check_next, known
from pipeline.steps.base import DataSpec
from targets.schema import read_target

if TYPE_CHECKING:
    from device_agents.bundle import Bundle
    from device_agents.farm.ledger.ledger import Ledger

FOLDER = "releases"
LOCK = "locks/releases"
BUNDLE = "bundle.json"
_NAMED = 5

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
class _Gathered:
    """What the files are made of."""

    content: Content
    source: Source
    steps: Sequence[Made]
    about_data: str
    floor: float


def release(
    project: Project,
    model: str | None,
    target: str,
    version: str,
    out: Path | None,
    key: SigningKey,
    allow_unmeasured: bool,
    say: Say,
    progress: Progress | None = None,
) -> Released:
    """Releases the accepted bundle of a model (None: the only one accepted for the target) as `version`.

    out: the folder for the release's own, None for releases/ in the project. say: gets lines for a person.
    Raises BadVersion, VersionExists, MajorDemanded, NothingAccepted, Unmeasured, NoSample, NotWritten, MissingExtra,
    and what the packagers and reading the bundle, the recipe, the target, the data and the ledger do.
    """
    from pipeline.ledger import open_ledger

    asked = Version.parse(version)
    sbom.check()
    with open_ledger(project) as ledger:
        recipe = read_recipe(model or _only_one(ledger, target), project.root)
        kind = read_target(target, project.root)
        bundle = accepted(project, ledger, recipe.name, kind.name)
        acceptance = ledger.accepted(recipe.name, kind.name)
        assert acceptance is not None
        evidence = gather(ledger, acceptance, recipe.metric.name)
    if evidence.unmeasured and not allow_unmeasured:
        raise _unmeasured(bundle, [one.worth for one in evidence.devices])
    releases = out if out is not None else project.root / FOLDER
    folder = releases / f"{recipe.name}-{kind.name}-{asked}"
    earlier = [one for one in known(releases, f"{recipe.name}-{kind.name}") if one.version != asked]
    if not folder.exists():
        changed = signature_changes(earlier[-1].manifest.signature, signature_of(bundle.manifest)) if earlier else []
        check_next(asked, earlier[-1] if earlier else None, changed)
    plan = make_plan(recipe, kind)
    drawn = sample.draw(project, plan, bundle, recipe.check.float_difference, say, progress)
    content = Content(
        bundle, str(asked), drawn, evidence, recipe.metric.name, recipe.train.loss == "cross-entropy", recipe.about
    )
    steps = history(bundle.manifest, project.store)
    if _told_otherwise(plan, steps):
        say("warning: the recipe was changed since this bundle was made; the release holds its text of today")
    gathered = _Gathered(content, _source(recipe), steps, _about_data(recipe), recipe.metric.floor)
    with alone(project.state / LOCK):
        return _written(folder, gathered, key, earlier, say)


def _only_one(ledger: Ledger, target: str) -> str:
    """The model that was accepted for a target, where that is one. Raises NothingAccepted, BadArgument."""
    models = sorted({one.model for one in ledger.acceptances(target=target)})
    if not models:
        raise NothingAccepted(
            f"No bundle for {target} was accepted yet.",
            where=ledger.where,
            remedy=f"./inv deploy --target {target}, then ./inv accept BUNDLE",
        )
    if len(models) > 1:
        raise BadArgument(
            f"{len(models)} models were accepted for {target}: {', '.join(models)}.",
            where="--model",
            remedy=f"say which: --model {models[0]}",
        )
    return models[0]


def _unmeasured(bundle: Bundle, worths: list[str]) -> Unmeasured:
    told = bundle.manifest
    there = f"there are only reports that are {', '.join(sorted(set(worths)))}" if worths else "there is no report"
    return Unmeasured(
        f"The accepted bundle was never measured on a real {told.target}: {there}.",
        where=f"bundle {bundle.digest[:16]}",
        remedy=f"./inv deploy --model {told.model} --target {told.target} on one, then accept it again; "
        "or --allow-unmeasured, and the model card says so",
    )


def _source(recipe: Recipe) -> Source:
    name = f"{recipe.name}.toml"
    digest = None
    if recipe.data in SHIPPED:
        digest = str(data.digest(DataSpec(name=recipe.data, arguments=recipe.data_arguments), recipe.folder)["digest"])
    weights = recipe.folder / recipe.weights if recipe.weights else None
    return Source(
        name,
        (recipe.folder / name).read_bytes(),
        recipe.data,
        digest,
        recipe.weights,
        sha256_file(weights) if weights else None,
    )


def _about_data(recipe: Recipe) -> str:
    """What a data set of ours says of itself: the first paragraph of its module."""
    if recipe.data not in SHIPPED:
        return ""
    said = importlib.import_module(SHIPPED[recipe.data]).__doc__ or ""
    return " ".join(said.split("\n\n")[0].split())


def _told_otherwise(plan: Plan, steps: Sequence[Made]) -> bool:
    """Whether the bundle's training was told something else than the recipe says now, as far as the store knows."""
    now = next((node.parameters for node in plan.nodes.values() if node.label == "train"), None)
    was = next((step.parameters for step in steps if step.name == "train"), None)
    return bool(now and was) and now != was


class _There(Exception):
    """A release is there already; `differing`: where it has other files, or other content in them."""

    def __init__(self, differing: list[str]) -> None:
        super().__init__()
        self.differing = differing


def _written(folder: Path, given: _Gathered, key: SigningKey, earlier: Sequence[Known], say: Say) -> Released:
    """Renamed into place once it is whole; where a release is it stays. Raises VersionExists, NotWritten."""
    try:
        with whole_folder(folder) as made:
            told = _fill(made, given, key, say)
            _plain_modes(made)
            if folder.exists():
                raise _There(checksums.differing(folder, made))
        draft = changelog.write(folder.parent, told, earlier)
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
    return Released(folder, told, sha256_file(folder / checksums.FILE), True, draft)


def _exists(folder: Path, differing: list[str]) -> VersionExists:
    named = ", ".join(differing[:_NAMED]) + (f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else "")
    signed_only = set(differing) <= {signing.BUNDLE_SIGNATURE, checksums.FILE, checksums.SIGNATURE}
    why = "signed by another key" if signed_only else f"other: {named}"
    return VersionExists(
        f"That version was released already, and what would be written is {why}.",
        where=str(folder),
        remedy="give the next version: an app may have this one",
    )


def _fill(folder: Path, given: _Gathered, key: SigningKey, say: Say) -> ReleaseManifest:
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
