"""Runs one step by hand, on inputs of one's own, and gives what it left as an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.progress import Silent
from pipeline.steps.base import Places, Work


@dataclass
class Made:
    """An artifact of a step that was run by hand."""

    folder: Path
    summary: Mapping[str, Any]

    def path(self, name: str) -> Path:
        return self.folder / name


def run_step(kind: Any, parameters: Mapping[str, Any], inputs: Mapping[str, Any], folder: Path, places: Places) -> Made:
    """Runs the step class `kind` into folder/out, which is made."""
    (folder / "out").mkdir(parents=True)
    asked = kind.Parameters.model_validate(dict(parameters))
    summary = kind().run(inputs, asked, Work(folder / "out", folder, places, Silent()))
    return Made(folder / "out", summary)
