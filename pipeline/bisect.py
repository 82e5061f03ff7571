"""`bisect MODEL`: the bundle, or the commit, with which a model got worse, found by comparing on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle
from device_agents.farm.sequential import Rule
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import pretty_json, write_atomically
from edgewright.progress import for_stream
from pipeline.bundles import accepted, find_bundle
from pipeline.commits import commits_between, tree_bundle
from pipeline.compare import Compared, compare_bundles, said
from pipeline.keeping import take_up
from pipeline.ledger import open_ledger
from pipeline.measuring import Bench, bench_for
from pipeline.project import Project
from pipeline.table import plain


class NothingToBisect(EdgewrightError):
    """There is no history between the good one and the bad one."""


@dataclass(frozen=True)
class Question:
    """What is asked. good, bad: commits, or bundles as find_bundle takes them; None: see the task. budget: seconds of
    each comparison."""

    model: str
    target: str
    variant: str | None
    good: str | None
    bad: str | None
    commits: bool
    device: str | None
    budget: float


@dataclass(frozen=True)
class Step:
    """One place of the history: a commit or a bundle's first report, and how to get its bundle (None: it can't be)."""

    name: str
    bundle: Callable[[], Bundle | None]


@dataclass
class Found:
    """first_bad: the step from which on it is worse, None where nothing is; suspects: those that can't be told apart
    since what lies between could not be built or decided; metrics: those that are worse."""

    first_bad: str | None
    suspects: list[str]
    metrics: list[str]
    tried: list[dict[str, Any]] = field(default_factory=list)


def bisect(question: Question, json_file: str | None = None) -> Found:
    """The task's body. Raises EdgewrightError."""
    project = Project.here()
    take_up(project)
    good, steps = (_by_commit if question.commits else _by_bundle)(project, question)
    bench = bench_for(project, [good], question.device, None, purpose="bisect", progress=for_stream())
    print(
        f"{plain(question.model)} > {bench.target.name}     {len(steps)} steps after {good.digest[:16]}, the good one"
    )
    found = search(steps, _Trial(bench, good, Rule(budget_s=question.budget)))
    if json_file:
        write_atomically(Path(json_file), pretty_json(vars(found)))
    if found.first_bad is None:
        print("  nothing got worse: the last one is not worse than the good one")
    elif len(found.suspects) > 1:
        print(f"  first bad  one of {', '.join(map(plain, found.suspects))}")
    else:
        print(f"  first bad  {plain(found.first_bad)}: worse in {', '.join(found.metrics)}")
    return found


class _Trial:
    """Is a step worse than the good one? Equal bundles are compared once."""

    def __init__(self, bench: Bench, good: Bundle, rule: Rule) -> None:
        self._bench = bench
        self._good = good
        self._rule = rule
        self._known: dict[str, Compared] = {}

    def __call__(self, step: Step) -> Compared | bool | None:
        """The comparison; False where it is the good bundle itself, None where it has no bundle."""
        bundle = step.bundle()
        if bundle is None or bundle.digest == self._good.digest:
            return None if bundle is None else False
        if bundle.digest not in self._known:
            self._known[bundle.digest] = compare_bundles(self._bench, self._good, bundle, self._rule)
        return self._known[bundle.digest]


def search(steps: Sequence[Step], trial: Callable[[Step], Compared | bool | None]) -> Found:
    """Halves the steps (oldest first) until the first bad one is left. A step that can't be told is gone around."""
    found = Found(None, [], [])
    last = trial(steps[-1])
    found.tried.append(_told(steps[-1], last))
    metrics = _worse(last)
    if not metrics:
        return found
    found.metrics = metrics
    low, high, skipped = -1, len(steps) - 1, set[int]()
    while candidates := [place for place in range(low + 1, high) if place not in skipped]:
        middle = min(candidates, key=lambda place: abs(2 * place - low - high))
        result = trial(steps[middle])
        found.tried.append(_told(steps[middle], result))
        answer = _is_bad(result, metrics)
        if answer is None:
            skipped.add(middle)
        elif answer:
            high = middle
        else:
            low = middle
    found.suspects = [steps[place].name for place in range(low + 1, high + 1)]
    found.first_bad = steps[high].name
    return found


def _worse(result: Compared | bool | None) -> list[str]:
    if result is None or isinstance(result, bool) or not result.report.valid:
        return []
    return [line.metric for line in result.lines if line.verdict == "worse"]


def _is_bad(result: Compared | bool | None, metrics: Sequence[str]) -> bool | None:
    """Whether it is worse in what the last one is worse in; None where that can't be told."""
    if result is None or isinstance(result, bool):
        return None if result is None else False
    if not result.report.valid:
        return None
    verdicts = [line.verdict for line in result.lines if line.metric in metrics]
    if "worse" in verdicts:
        return True
    return None if "undecided" in verdicts else False


def _told(step: Step, result: Compared | bool | None) -> dict[str, Any]:
    """What a trial came to, printed as it is known."""
    if result is None or isinstance(result, bool):
        what = "no bundle: left out" if result is None else "the good bundle itself"
        print(f"  {plain(step.name):<48} {what}", flush=True)
        return {"step": step.name, "verdict": None if result is None else "same", "report": None}
    latency = result.lines[0]
    word = result.verdict or f"INVALID: {'; '.join(map(plain, result.report.problems))}"
    print(f"  {plain(step.name):<48} {word}  latency {said(latency)}", flush=True)
    return {"step": step.name, "verdict": result.verdict, "report": result.report.id}


def _by_bundle(project: Project, question: Question) -> tuple[Bundle, list[Step]]:
    """The good bundle, and those that the ledger saw after it, up to the bad one."""
    from targets.schema import read_target

    target = read_target(question.target, project.root).name
    with open_ledger(project) as ledger:
        good = (
            find_bundle(project, question.good) if question.good else accepted(project, ledger, question.model, target)
        )
        variant = question.variant or good.manifest.name
        history = list(ledger.bundles(question.model, target, variant))
    digests = [one.bundle for one in history]
    after = digests.index(good.digest) + 1 if good.digest in digests else 0
    bad = find_bundle(project, question.bad).digest if question.bad else digests[-1] if digests else good.digest
    until = digests.index(bad) + 1 if bad in digests else len(digests)
    chosen = history[after:until]
    if not chosen:
        raise NothingToBisect(
            f"The ledger has no bundle of {question.model} ({variant}) for {target} after the good one.",
            where=good.digest,
            remedy="measure newer ones first (./inv deploy), or walk commits: --commits --good COMMIT",
        )

    def step(digest: str, started: str) -> Step:
        return Step(f"{digest[:16]} of {started}", lambda: _if_there(project, digest))

    return good, [step(one.bundle, one.started) for one in chosen]


def _if_there(project: Project, digest: str) -> Bundle | None:
    try:
        return find_bundle(project, digest)
    except EdgewrightError:
        return None


def _by_commit(project: Project, question: Question) -> tuple[Bundle, list[Step]]:
    """The bundle that the good commit builds, and the commits after it."""
    if not question.good:
        raise BadArgument("Which commit was good?", where="--good", remedy="--commits --good COMMIT [--bad COMMIT]")
    commits = commits_between(project, question.good, question.bad or "HEAD")

    def bundle(commit: str) -> Bundle | None:
        return tree_bundle(project, commit, question.model, question.target, question.variant)

    good = bundle(commits[0].id)
    if good is None:
        raise NothingToBisect(
            "The good commit can't be built.",
            where=commits[0].id,
            remedy="take a later one as --good, or see what the build says: git checkout it and ./inv build",
        )
    if len(commits) < 2:
        raise NothingToBisect(
            "There is no commit after the good one.", where=commits[0].id, remedy="name an earlier --good"
        )
    return good, [Step(f"{one.id[:12]} {one.title}", lambda id=one.id: bundle(id)) for one in commits[1:]]  # type: ignore[misc]
