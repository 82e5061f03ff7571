"""The kinds of cell by name, bound to the networks that they work on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgewright.progress import Progress
from pipeline.project import Project
from tests.bench.pruning.cells import Make
from tests.bench.pruning.work import peerheads, pruned, sparse, tickets
from tests.bench.pruning.work.lab import Lab

KINDS: dict[str, Callable[[Lab, Mapping[str, Any], Path], dict[str, Any]]] = {
    "base": pruned.base,
    "pruned": pruned.pruned,
    "sparse": sparse.sparse,
    "ticket": tickets.ticket,
    "peer-heads": peerheads.heads,
}


def bound(project: Project, threads: int, progress: Progress) -> dict[str, Make]:
    """Every kind as a function of (what, folder); a cell names its model in what["model"]."""

    @functools.cache
    def lab(model: str) -> Lab:
        return Lab.of(model, project, threads, progress)

    def make(kind: str) -> Make:
        return lambda what, out: KINDS[kind](lab(what["model"]), what, out)

    return {kind: make(kind) for kind in KINDS}
