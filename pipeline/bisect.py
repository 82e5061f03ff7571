"""`bisect MODEL`: the bundle, or the commit, with which a model got worse, found by comparing on a device."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from device_agents.bundle import Bundle
from device_agents.farm.inventory import HOST
from device_agents.farm.sequential import Rule
from device_agents.farm.versus import Line, overall
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.progress import for_stream
from pipeline.compare import Compared, compare_bundles, said
from pipeline.history import Question, Step, by_bundle, by_commit
from pipeline.keeping import on_stderr, take_up, write_told
from pipeline.measuring import Bench, bench_for
from pipeline.project import Project
from pipeline.reach import device_of
from pipeline.table import plain
from targets.schema import read_target

Trial = Callable[[Step], "Compared | bool | None"]
"""How a step compares with the good bundle; False where it is the good bundle itself, None where it has no bundle."""


@dataclass
class Found:
    """What is known so far. verdict: worse (from first_bad on), same (the last step is not worse), undecided (that of
    the last step can't be told), unfinished (it was cut off). suspects: the first bad step, and those before it that
    can't be told from it; metrics: what got worse there; good, bad: ids of the nearest steps that are known to be not
    worse and worse; problems: of the invalid reports that this rests on.
    """

    good: str
    bad: str | None = None
    verdict: Literal["worse", "same", "undecided", "unfinished"] = "unfinished"
    first_bad: str | None = None
    suspects: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tried: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"schema": "edgewright-bisection/1"} | vars(self)


def bisect(question: Question, json_file: str | None = None) -> Found:
    """The task's body; what was found so far is told also where it is cut off. Raises EdgewrightError."""
    if not 0 < question.budget <= 86_400:
        raise BadArgument(
            f"{question.budget:g} seconds is no budget", where="--budget", remedy="give seconds, e.g. --budget 60"
        )
    project = Project.here()
    # By its name, as the bundles have it; asked before anything is built, and so is the device.
    target = read_target(Path(question.target).stem, project.root)
    if question.device not in (None, HOST):
        device_of(project, target, question.device)
    with _ended_by_signals():
        take_up(project)
        reference, steps = (by_commit if question.commits else by_bundle)(project, target, question)
        good = reference.bundle()
        bench = bench_for(project, [good], question.device, None, purpose="bisect", progress=for_stream())
        after = f"{len(steps)} steps after {plain(reference.name)}, the good one"
        print(f"{plain(question.model)} > {target.name}     {after}", flush=True)
        found = Found(reference.id)
        try:
            search(steps, _Trial(bench, good, question), found, question.anyway)
        except BaseException as error:
            if isinstance(error, EdgewrightError) and found.bad:
                error.remedy = f"{error.remedy}; {_on(found)}".removeprefix("; ")
            _tell(found, json_file)
            raise
    _tell(found, json_file)
    return found


def _tell(found: Found, json_file: str | None) -> None:
    print("\n".join(text(found)), flush=True)
    if json_file:
        write_told(json_file, found.to_json())


def text(found: Found) -> list[str]:
    """What is printed at the end, or where it was cut off."""
    if found.verdict == "unfinished":
        if not found.bad:
            return ["  so far     nothing is known yet"]
        return [
            f"  so far     it got worse after {found.good}, with {found.bad} at the latest",
            f"  next       {_on(found)}",
        ]
    lines = []
    if found.verdict == "undecided":
        lines += ["  undecided  whether the last one is worse can't be told"]
        lines += [] if found.problems else ["  next       give it more time (--budget), or name another --bad"]
    elif found.verdict == "same":
        lines += ["  nothing got worse: the last one is not worse than the good one"]
    else:
        lines += [f"  first bad  {plain(found.first_bad)}: worse in {', '.join(found.metrics)}"]
        lines += [f"  or         {plain(name)}, which can't be told" for name in found.suspects[:-1]]
    if found.problems:
        lines.append(f"  INVALID: it rests on figures that can't be trusted: {'; '.join(map(plain, found.problems))}")
    return lines


def _on(found: Found) -> str:
    return f"to go on where it was, the same command with --good {found.good} --bad {found.bad}"


class _Trial:
    """Compares steps with the good bundle. Equal bundles are compared once."""

    def __init__(self, bench: Bench, good: Bundle, question: Question) -> None:
        self._bench = bench
        self._good = good
        self._rule = Rule(budget_s=question.budget)
        self._anyway = question.anyway
        self._known: dict[str, Compared] = {}

    def __call__(self, step: Step) -> Compared | bool | None:
        try:
            bundle = step.bundle()
        except EdgewrightError as error:
            on_stderr(f"{plain(step.name)}: {plain(error.what)}")
            return None
        if bundle.digest == self._good.digest:
            return False
        if bundle.digest not in self._known:
            self._known[bundle.digest] = compare_bundles(self._bench, self._good, bundle, self._rule, self._anyway)
        return self._known[bundle.digest]


def search(steps: Sequence[Step], trial: Trial, found: Found, anyway: bool = False) -> Found:
    """Halves the steps (oldest first) until the first bad one is left; `found` is kept up to date meanwhile.

    A step that can't be told is gone around, and so are the last ones as long as they have no bundle.
    """
    results: dict[int, Compared | bool | None] = {}

    def tried(place: int) -> Compared | bool | None:
        results[place] = trial(steps[place])
        found.tried.append(_told(steps[place], results[place]))
        return results[place]

    high = len(steps) - 1
    while high > 0 and tried(high) is None:
        high -= 1
    last = results[high] if high in results else tried(high)
    sought = _worse(last, anyway)
    if not sought:
        found.verdict = "undecided" if _is_bad(last, {"latency": 0.0}, anyway) is None else "same"
        found.problems = _problems(last)
        return found
    found.bad = steps[high].id
    low, skipped = -1, set[int]()
    while candidates := [place for place in range(low + 1, high) if place not in skipped]:
        middle = min(candidates, key=lambda place: abs(2 * place - low - high))
        answer = _is_bad(tried(middle), sought, anyway)
        if answer is None:
            skipped.add(middle)
        elif answer:
            high, found.bad = middle, steps[middle].id
        else:
            low, found.good = middle, steps[middle].id
    found.verdict = "worse"
    found.first_bad = steps[high].name
    found.suspects = [steps[place].name for place in range(low + 1, high + 1)]
    found.metrics = [metric for metric in _worse(results[high], anyway) if metric in sought]
    around = [_problems(results[place]) for place in (low, high) if place in results]
    found.problems = list(dict.fromkeys(problem for problems in around for problem in problems))
    return found


def _lines(result: Compared | bool | None, anyway: bool) -> list[Line]:
    """What a comparison says: of an invalid report nothing, but where it was measured anyway."""
    if result is None or isinstance(result, bool) or not (result.report.valid or anyway):
        return []
    return result.lines


def _worse(result: Compared | bool | None, anyway: bool) -> dict[str, float]:
    """The metrics that are worse, and by how much."""
    return {line.metric: line.change or 0.0 for line in _lines(result, anyway) if line.verdict == "worse"}


def _is_bad(result: Compared | bool | None, sought: Mapping[str, float], anyway: bool) -> bool | None:
    """Whether it is worse in any metric of the sought change; None where that can't be told.

    A metric that is undecided, but surely less than half as much worse, has not changed yet.
    """
    if result is False:
        return False
    lines = [line for line in _lines(result, anyway) if line.metric in sought]
    if any(line.verdict == "worse" for line in lines):
        return True
    settled = [
        line.verdict in ("same", "better") or (line.high is not None and line.high < sought[line.metric] / 2)
        for line in lines
    ]
    return False if settled and all(settled) else None


def _problems(result: Compared | bool | None) -> list[str]:
    return [] if result is None or isinstance(result, bool) or result.report.valid else result.report.problems


def _told(step: Step, result: Compared | bool | None) -> dict[str, Any]:
    """What a trial came to, printed as it is known."""
    if result is None or isinstance(result, bool):
        what = "no bundle: left out" if result is None else "the good bundle itself"
        print(f"  {plain(step.name):<48} {what}", flush=True)
        return {"step": step.name, "verdict": None if result is None else "same", "report": None, "valid": None}
    word = overall(result.lines)
    invalid = "" if result.report.valid else f"  INVALID: {'; '.join(map(plain, result.report.problems))}"
    print(f"  {plain(step.name):<48} {word}  latency {said(result.lines[0]) or 'not measured'}{invalid}", flush=True)
    return {"step": step.name, "verdict": word, "report": result.report.id, "valid": result.report.valid}


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the work as Ctrl-C does: what it leaves is tidied up, what it knows is told."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
