"""Makes the rows one by one; what one leaves is kept before the next begins, and one that fails costs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError
from tests.bench.compression.lines import Line
from tests.bench.compression.rows import WAYS, Row
from tests.bench.compression.work.artifacts import BUNDLE
from tests.bench.pruning.cells import Cell, Cells


class Maker:
    """Lines and bundles of rows, of cells that are kept."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._failed: dict[str, str] = {}

    def make(self, row: Row) -> tuple[Line, Path | None]:
        """The row with all that is known before it is measured, and its bundle's folder."""
        return self._of_peer(row) if row.role is None else self._of_ours(row, row.role)

    def _of_peer(self, row: Row) -> tuple[Line, Path | None]:
        _, runtime, precision = WAYS[row.cell.what["way"]]
        told: dict[str, Any] = {"runtime": runtime, "precision": precision}
        # The network by itself: it is kept though a tool then refuses it, and not trained again for the next tool.
        network, why = self._figures(Cell("network", row.cell.what["network"]))
        figures, why = self._figures(row.cell) if network else (None, why)
        if network is None or figures is None:
            return Line.of(row, **told, error=why), None
        told["epochs"] = network.get("epochs")
        if precision == "float32":
            told["validation"] = network["validation"]
        sizes = {name: figures[name] for name in ("params", "macs", "plain", "lean", "package")}
        return Line.of(row, **told, **sizes), self._cells.path(row.cell) / BUNDLE

    def _of_ours(self, row: Row, role: str) -> tuple[Line, Path | None]:
        figures, why = self._figures(row.cell)
        if figures is None:
            return Line.of(row, error=why), None
        entry: dict[str, Any] | None = figures["picked"].get(role)
        if entry is None:
            return Line.of(row, error=f"no candidate held the floor: {figures['why']}"), None
        keys = ("runtime", "precision", "params", "macs", "epochs", "validation", "shrink")
        known = {name: entry.get(name) for name in keys}
        return Line.of(row, **known, **entry["sizes"]), self._cells.path(row.cell) / role

    def _figures(self, cell: Cell) -> tuple[dict[str, Any] | None, str]:
        """A cell's figures, or why there are none; a cell that failed in this run is not tried again in it."""
        if cell.key in self._failed:
            return None, self._failed[cell.key]
        try:
            return self._cells.get(cell), ""
        except EdgewrightError as error:
            why = error.what
        except Exception as error:  # a peer's defect must not cost the hours that the others took
            why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        self._failed[cell.key] = why
        return None, why
