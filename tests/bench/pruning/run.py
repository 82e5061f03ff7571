"""Runs the cells that the claims need, measures what they left, judges the claims."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from types import ModuleType
from typing import Any

from edgewright import extras
from edgewright.errors import BadArgument
from edgewright.progress import Progress
from pipeline.project import Project
from tests.bench.pruning.cells import Cell, distinct
from tests.bench.pruning.claims import all_claims
from tests.bench.pruning.found import Found
from tests.bench.pruning.making import cells_of, make
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.speed import Speeds, measure
from tests.bench.pruning.statements import Finding


@dataclass
class Bench:
    """All that one run gave. cells: every cell with what it was told and its raw figures; failed: key > message."""

    setting: Setting
    started: str
    seconds: float
    machine: dict[str, Any]
    findings: list[Finding]
    cells: list[dict[str, Any]]
    failed: dict[str, str]
    report: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "edgewright-bench-pruning/1",
            **asdict(self),
            "findings": [finding.to_json() for finding in self.findings],
        }


def chosen(only: str | None) -> dict[str, ModuleType]:
    """The claims to try. Raises BadArgument."""
    claims = all_claims()
    if only is None:
        return claims
    if only not in claims:
        raise BadArgument(
            f"There is no claim {only!r}",
            where="--only",
            remedy=f"take one of {', '.join(claims)}: ./inv bench.pruning --only {next(iter(claims))}",
        )
    return {only: claims[only]}


def run(setting: Setting, only: str | None, project: Project, progress: Progress, jobs: int) -> Bench:
    """Tries the claims in `jobs` processes; what an earlier run has done is taken from the state folder.

    Raises EdgewrightError.
    """
    claims = chosen(only)
    # Before any long work: a claim that can't be tried would else be noticed at the end.
    for name, extra in (("peer", "bench"), ("text", "text")):
        if name in claims and claims[name].cells(setting):
            extras.check(extra)
    began, started = time.monotonic(), datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    cells = cells_of(project)
    needed = {name: claim.cells(setting) for name, claim in claims.items()}
    every = distinct(cell for some in needed.values() for cell in some)
    figures, failed = make(project, cells, every, progress, jobs)
    speeds = Speeds()
    models = {cell.key: path for cell in every if cell.key in figures and (path := cells.model(cell)) is not None}
    if len(models) > 1:
        speeds = measure(models, setting, project, progress)
    found = Found(figures, speeds)
    findings = [_judged(claim, needed[name], setting, found, failed) for name, claim in claims.items()]
    return Bench(
        setting=setting,
        started=started,
        seconds=round(time.monotonic() - began, 1),
        machine={"machine": platform.machine(), "python": platform.python_version(), "commit": project.commit()},
        findings=findings,
        cells=[{"kind": cell.kind, "what": cell.what, "figures": figures.get(cell.key)} for cell in every],
        failed=failed,
        report=speeds.report,
    )


def _judged(claim: ModuleType, needed: list[Cell], setting: Setting, found: Found, failed: dict[str, str]) -> Finding:
    """The claim's finding; where one of its cells failed, only why."""
    name = claim.__name__.rpartition(".")[2]
    if missing := [failed[cell.key] for cell in needed if cell.key in failed]:
        return Finding(name, name, claim.CLAIMED, notes=["Could not be tried:", *missing])
    finding: Finding = claim.judge(setting, found)
    if not found.speeds.valid:
        finding.statements = [one.of_invalid_session() for one in finding.statements]
    return finding
