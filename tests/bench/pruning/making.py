"""Makes the cells that are not there yet, in processes of one thread each."""

from __future__ import annotations

import functools
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError
from edgewright.progress import Progress, Silent, piece
from pipeline.project import Project
from tests.bench.pruning.cells import Cell, Cells, code_behind
from tests.bench.pruning.setting import THREADS

WORK = Path(__file__).parent / "work"


def cells_of(project: Project) -> Cells:
    """The project's kept cells, with all that makes them."""
    from tests.bench.pruning.work.kinds import bound

    kinds = bound(project, THREADS, Silent())
    return Cells(project.state / "bench" / "cells", kinds, code_behind(WORK), {"threads": THREADS})


def make(
    project: Project, cells: Cells, every: list[Cell], progress: Progress, jobs: int
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(figures by cell's key, messages of those that could not be made by key).

    A model's base comes before its other cells: it may have to be trained first, and once is enough.
    """
    figures = {cell.key: cells.get(cell) for cell in every if cells.has(cell)}
    left = [cell for cell in every if cell.key not in figures]
    failed: dict[str, str] = {}
    if not left:
        return figures, failed
    # Spawned, not forked: torch has threads by now, which a fork would leave in an unknown state.
    context = multiprocessing.get_context("spawn")
    # The longest first, so that none is left to one process alone at the end.
    left.sort(key=lambda cell: (cell.kind != "base", -cell.weight))
    with (
        piece(progress, "cells", sum(cell.weight for cell in left)) as shown,
        ProcessPoolExecutor(min(jobs, len(left)), mp_context=context) as pool,
    ):
        running: dict[Future[tuple[dict[str, Any] | None, str]], Cell] = {}
        try:
            while left or running:
                waiting_for = {cell.what["model"] for cell in [*left, *running.values()] if cell.kind == "base"}
                for cell in [one for one in left if one.kind == "base" or one.what["model"] not in waiting_for]:
                    left.remove(cell)
                    running[pool.submit(_one, project, cell)] = cell
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    cell = running.pop(future)
                    found, message = future.result()
                    if found is None:
                        failed[cell.key] = f"{cell.label}: {message}"
                    else:
                        figures[cell.key] = found
                    shown.advance(cell.weight, cell.label)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return figures, failed


@functools.cache
def _cells(project: Project) -> Cells:
    return cells_of(project)


def _one(project: Project, cell: Cell) -> tuple[dict[str, Any] | None, str]:
    """In a process of its own: the figures, or why there are none."""
    try:
        return _cells(project).get(cell), ""
    except EdgewrightError as error:
        return None, error.what
    except Exception as error:  # one cell's defect must not cost the hour that the others took
        return None, f"{type(error).__name__}: {error}"
