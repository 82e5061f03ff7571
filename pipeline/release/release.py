"""Makes a release folder out of the accepted bundle of a model and target: whole or not at all, the same every time.

What goes in: the bundle, the version, the recipe's text, what the store still says of the bundle's steps, the reports
that it was accepted on, the key, and the packagers' tools. No clock, no path, no name of a person or a machine.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import BadArgument
from edgewright.progress import Progress
from models.data import SHIPPED
from pipeline.bundles import NothingAccepted, accepted
from pipeline.plan import Plan, make_plan
from pipeline.project import Project
from pipeline.recipe import Recipe, read_recipe
from pipeline.release import provenance, sample, sbom, scoring
from pipeline.release.content import Content
from pipeline.release.diff import signature_changes
from pipeline.release.errors import NoRelease, Unmeasured
from pipeline.release.evidence import gather
from pipeline.release.history import Made, history
from pipeline.release.keys import SigningKey
from pipeline.release.manifest import signature_of
from pipeline.release.places import is_there
from pipeline.release.versions import Known, Version, check_next, doubtful, known, promised
from pipeline.release.writing import Gathered, Released, Say, write
from targets.schema import read_target

if TYPE_CHECKING:
    from device_agents.bundle import Bundle
    from device_agents.farm.ledger.ledger import Ledger

FOLDER = "releases"


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
    Raises BadVersion, VersionExists, MajorDemanded, NoRelease (an earlier one that can't be read), NothingAccepted,
    Unmeasured, NoSample, NotWritten, MissingExtra, and what the packagers and reading the bundle, the recipe, the
    target, the data and the ledger do.
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
    if not is_there(folder):
        _check_version(asked, releases, earlier, bundle)
    plan = make_plan(recipe, kind)
    x, y = sample.evaluation(project, plan, bundle, say, progress)
    content = Content(
        bundle,
        str(asked),
        sample.of(bundle, x, y, recipe.check.float_difference),
        evidence,
        recipe.metric.name,
        recipe.train.loss == "cross-entropy",
        recipe.about,
        None if evidence.scored else scoring.on_host(recipe, bundle, x, y, progress),
    )
    steps = history(bundle.manifest, project.store)
    if _told_otherwise(plan, steps):
        say("warning: the recipe was changed since this bundle was made; the release holds its text of today")
    gathered = Gathered(content, provenance.source_of(recipe), steps, _about_data(recipe), recipe.metric.floor)
    return write(project, folder, gathered, key, earlier, say)


def _check_version(asked: Version, releases: Path, earlier: Sequence[Known], bundle: Bundle) -> None:
    """Whether that version may come next. Raises BadVersion, MajorDemanded, NoRelease."""
    told = bundle.manifest
    if lost := doubtful(releases, f"{told.model}-{told.target}"):
        raise NoRelease(
            "That is called like a release and can't be read, so which version may come next is not known.",
            where=str(lost[0]),
            remedy=f"./inv release.verify {lost[0]} says what happened to it; bring it back from where you keep "
            "releases, or move it away if no app has it",
        )
    since = promised(earlier)
    changed = signature_changes(since.manifest.signature, signature_of(told)) if since else []
    check_next(asked, earlier[-1] if earlier else None, changed, since)


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
