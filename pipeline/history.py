"""What `bisect` searches: the steps after the good one, oldest first, each with a way to its bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agents.bundle import Bundle
from edgewright.errors import BadArgument, EdgewrightError
from pipeline.bundles import ACCEPTED, accepted, find_bundle
from pipeline.commits import Builds, commits_between
from pipeline.keeping import on_stderr
from pipeline.ledger import open_ledger
from pipeline.project import Project
from pipeline.table import plain
from targets.schema import Target


class NothingToBisect(EdgewrightError):
    """There is no history between the good one and the bad one."""


@dataclass(frozen=True)
class Question:
    """What is asked. good, bad: commits, or bundles as find_bundle takes them; None: see the task. budget: seconds of
    each comparison; anyway: also on a device in a bad state, whose invalid reports then count."""

    model: str
    target: str
    variant: str | None
    good: str | None
    bad: str | None
    commits: bool
    device: str | None
    budget: float
    anyway: bool = False


@dataclass(frozen=True)
class Step:
    """One place of the history. id: what --good and --bad take; bundle: gets its bundle, raises EdgewrightError where
    there is none."""

    id: str
    bundle: Callable[[], Bundle]
    title: str = ""

    @property
    def name(self) -> str:
        return f"{self.id} {self.title}".rstrip()


def by_bundle(project: Project, target: Target, question: Question) -> tuple[Step, list[Step]]:
    """The good bundle, and those that the ledger saw after it, up to the bad one."""
    model = Path(question.model).stem if question.model.endswith(".toml") else question.model
    with open_ledger(project) as ledger:

        def bundle(given: str) -> Bundle:
            found = accepted(project, ledger, model, target.name) if given == ACCEPTED else find_bundle(project, given)
            of = found.manifest
            if (of.model, of.target) != (model, target.name):
                raise BadArgument(
                    f"That bundle is of {of.model} for {of.target}, not of {model} for {target.name}.",
                    where=given,
                    remedy=f"./inv bisect {of.model} --target {of.target}, or name another bundle",
                )
            return found

        good = bundle(question.good or ACCEPTED)
        bad = bundle(question.bad) if question.bad else None
        variant = question.variant or good.manifest.name
        history: dict[str, str] = {}
        for one in ledger.bundles(model, target.name):
            # Where `bench` was given two of one name, it has put their digests after it.
            if one.variant in (variant, f"{variant}:{one.bundle[:8]}"):
                history.setdefault(one.bundle, one.started)
        where = ledger.where
    digests = list(history)
    start = digests.index(good.digest) + 1 if good.digest in digests else 0
    chosen = digests[start:]
    if bad is not None:
        chosen = digests[start : digests.index(bad.digest) + 1] if bad.digest in digests else [*chosen, bad.digest]
    if not chosen:
        raise NothingToBisect(
            f"The ledger has no bundle of {model} ({variant}) for {target.name} between the good one and the bad one.",
            where=f"after {good.digest[:16]} in {where}",
            remedy="measure newer ones first (./inv deploy), or walk commits: --commits --good COMMIT",
        )

    def step(digest: str) -> Step:
        if bad is not None and digest == bad.digest:
            return Step(digest[:16], lambda: bad, f"of {history.get(digest, 'no report yet')}")
        return Step(digest[:16], lambda: find_bundle(project, digest), f"of {history[digest]}")

    return Step(good.digest[:16], lambda: good), [step(digest) for digest in chosen]


def by_commit(project: Project, target: Target, question: Question) -> tuple[Step, list[Step]]:
    """The good commit, and those after it up to the bad one; each gives the bundle that it builds."""
    if not question.good:
        raise BadArgument("Which commit was good?", where="--good", remedy="--commits --good COMMIT [--bad COMMIT]")
    builds = Builds.of(project, question.model, question.target, question.variant)
    commits = commits_between(project, question.good, question.bad or "HEAD")
    if len(commits) < 2:
        raise NothingToBisect(
            "There is no commit after the good one.", where=commits[0].short, remedy="name an earlier --good"
        )

    def step(place: int) -> Step:
        commit = commits[place]

        def built() -> Bundle:
            on_stderr(f"building {commit.short} {plain(commit.title)}")
            return builds.bundle(commit)

        return Step(commit.short, built, commit.title)

    good, *steps = map(step, range(len(commits)))
    return good, steps
