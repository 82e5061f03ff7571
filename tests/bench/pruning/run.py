"""Runs the cells that the claims need, measures what they left, judges the claims."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

from edgewright.errors import BadArgument, EdgewrightError
from edgewright.progress import Progress, Silent, piece
from pipeline.project import Project
from tests.bench.pruning.cells import Cell, Cells, code_behind, distinct
from tests.bench.pruning.claims import all_claims
from tests.bench.pruning.found import Found
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.speed import Speeds, measure
from tests.bench.pruning.statements import Finding

WORK = Path(__file__).parent / "work"


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


def run(setting: Setting, only: str | None, project: Project, progress: Progress) -> Bench:
    """Tries the claims; what an earlier run has done is taken from the state folder. Raises EdgewrightError."""
    claims = chosen(only)
    began, started = time.monotonic(), datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    from tests.bench.pruning.work.kinds import bound

    kinds = bound(project, setting.threads, Silent())
    cells = Cells(project.state / "bench" / "cells", kinds, code_behind(WORK), {"threads": setting.threads})
    needed = {name: claim.cells(setting) for name, claim in claims.items()}
    every = distinct(cell for some in needed.values() for cell in some)
    figures, failed = _work(cells, every, progress)
    speeds = Speeds()
    models = {cell.key: path for cell in every if cell.key in figures and (path := cells.model(cell)) is not None}
    if len(models) > 1:
        speeds = measure(models, setting.processes, setting.blocks, project.state, project.cache, progress)
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


def _work(cells: Cells, every: Iterable[Cell], progress: Progress) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(figures by key, messages of the cells that could not be made by key)."""
    waiting = list(every)
    figures = {cell.key: cells.get(cell) for cell in waiting if cells.has(cell)}
    failed: dict[str, str] = {}
    left = [cell for cell in waiting if cell.key not in figures]
    with piece(progress, "cells", sum(cell.weight for cell in left)) as shown:
        for cell in left:
            try:
                figures[cell.key] = cells.get(cell)
            except EdgewrightError as error:
                failed[cell.key] = f"{cell.label}: {error.what}"
            shown.advance(cell.weight, cell.label)
    return figures, failed


def _judged(claim: ModuleType, needed: list[Cell], setting: Setting, found: Found, failed: dict[str, str]) -> Finding:
    """The claim's finding; where one of its cells failed, only why."""
    name = claim.__name__.rpartition(".")[2]
    if missing := [failed[cell.key] for cell in needed if cell.key in failed]:
        return Finding(name, name, claim.CLAIMED, notes=["Could not be tried:", *missing])
    finding: Finding = claim.judge(setting, found)
    if not found.speeds.valid:
        finding.statements = [one.of_invalid_session() for one in finding.statements]
    return finding
