"""Cells: the bench's units of work, kept by a digest of what they are made of: a run that was cut off goes on."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.files import canonical_json, pretty_json, sha256_bytes, write_atomically

MODEL, RESULT = "model.onnx", "result.json"
LIBRARIES = ("torch", "torch-pruning", "numpy", "onnx", "onnxscript", "transformers")


@dataclass(frozen=True)
class Cell:
    """One unit of work as data: `kind` names a function of work.KINDS, `what` is all that it is told.

    weight: how long it takes, in fine-tunings of a small network; only for the time left.
    """

    kind: str
    what: Mapping[str, Any]
    weight: float = 1.0

    @property
    def key(self) -> str:
        """One spelling per cell: equal cells of two claims are made once."""
        return canonical_json([self.kind, self.what]).decode()

    @property
    def label(self) -> str:
        """A short line for the progress."""
        shown = [str(value) for key, value in self.what.items() if key in ("by", "criterion", "share", "variant")]
        seed = f", seed {self.what['seed']}" if "seed" in self.what else ""
        return f"{self.kind} {' '.join(shown)}{seed}"


Make = Callable[[Mapping[str, Any], Path], dict[str, Any]]
"""(what the cell is told, an empty folder for files) > its figures, JSON values only."""


class Cells:
    """Results in a folder. `code` and `common` are in every digest: another code or data set makes all anew."""

    def __init__(self, folder: Path, kinds: Mapping[str, Make], code: Mapping[str, str], common: Any) -> None:
        self._folder = folder
        self._kinds = kinds
        self._under = sha256_bytes(canonical_json([code, common]))

    def path(self, cell: Cell) -> Path:
        """Where a cell's result and files lie."""
        return self._folder / sha256_bytes(f"{self._under} {cell.key}".encode())[:32]

    def has(self, cell: Cell) -> bool:
        return (self.path(cell) / RESULT).is_file()

    def get(self, cell: Cell) -> dict[str, Any]:
        """A cell's figures, made where they are not there; with `seconds` that it took. Moved in by one rename."""
        place = self.path(cell)
        if not self.has(cell):
            self._folder.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=".cell-", dir=self._folder) as temporary:
                out = Path(temporary, "cell")
                out.mkdir()
                figures = self._kinds[cell.kind](cell.what, out)
                figures["seconds"] = round(time.monotonic() - began, 2)
                write_atomically(out / RESULT, pretty_json(figures))
                shutil.rmtree(place, ignore_errors=True)
                out.rename(place)
        found: dict[str, Any] = json.loads((place / RESULT).read_bytes())
        return found

    def model(self, cell: Cell) -> Path | None:
        """The ONNX file that a cell left, if it did."""
        path = self.path(cell) / MODEL
        return path if path.is_file() else None


def code_behind(folder: Path) -> dict[str, str]:
    """Digests of every source file that can change a cell, and the versions of the libraries that did the work."""
    from pipeline.fingerprint import code_of, libraries

    found: dict[str, str] = {}
    for source in sorted(folder.glob("*.py")):
        found |= code_of(source)
    return found | libraries(LIBRARIES)


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """Each cell once, in the order in which they come."""
    return list({cell.key: cell for cell in cells}.values())
