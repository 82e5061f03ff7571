"""How a bundle came to be, step by step: what its manifest names, in the words that the store still has for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.bundle import Manifest
from pipeline.store import Store

_FIRST = ("train", "student")
_ROUNDS = ("prune", "sparsify", "rewind", "distil", "retrain")
_LAST = ("equalise", "qat", "export", "quantise", "check", "ort")


@dataclass(frozen=True)
class Made:
    """A step. said: its figure ("taylor, 56 of 208 channels removed"), "" where the store has lost it; parameters:
    likewise, what it was told."""

    name: str
    fingerprint: str
    said: str
    parameters: Mapping[str, Any]


def history(manifest: Manifest, store: Store) -> list[Made]:
    """The steps behind a bundle, in the order in which they run. Raises CorruptArtifact."""
    found = []
    for name, fingerprint in sorted(manifest.origin.get("steps", {}).items(), key=lambda step: _place(step[0])):
        artifact = store.find(fingerprint)
        said = str(artifact.summary.get("figure", "")) if artifact else ""
        found.append(Made(name, fingerprint, said, artifact.ingredients["parameters"] if artifact else {}))
    return found


def _place(name: str) -> tuple[int, int, int, str]:
    """Where a step of that label ("prune 1/2") stands; a teacher's ("teacher resnet20/train") comes first of all."""
    found = re.fullmatch(r"(\w+)(?: (\d+)/\d+)?", name)
    step, round_ = (found[1], int(found[2] or 0)) if found else (name, 0)
    if found is None:
        return 0, 0, 0, name
    for phase, steps in enumerate((_FIRST, _ROUNDS, _LAST), 1):
        if step in steps:
            return phase, round_, steps.index(step), name
    return 2, round_, len(_ROUNDS), name
