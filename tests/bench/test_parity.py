"""The parity page: what a cell says, and that an empty one says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.arm.answers import Answer
from tests.arm.cells import Answers
from tests.arm.made import Made
from tests.bench.parity import Cell, cells_of, page

TORCH = np.array([[0.0, 1.0], [2.0, -1.0]], np.float32)
STEP = 0.25


def _made() -> Made:
    return Made(
        "net", {}, {}, Path("evaluation.npz"), TORCH, frozenset(), {("tflite", "int8"): STEP}, "its own weights"
    )


def _cells(shift: float = 0.0, refused: str = "") -> dict[tuple[str, str, str], Cell]:
    """TFLite in tflite-runtime: on x86-64 torch's own answers, on armhf moved by `shift` or refused."""
    found = Answers()
    for precision in ("float32", "int8"):
        found.answers["x86-64", "tflite-runtime", "net", precision] = Answer(TORCH, ("CPU",), "2.14.0")
        if refused:
            found.refused["armhf", "tflite-runtime", "net", precision] = refused
        else:
            found.answers["armhf", "tflite-runtime", "net", precision] = Answer(
                TORCH + np.float32(shift), ("CPU",), "2.14.0"
            )
    return {(cell.runtime, cell.precision, cell.machine): cell for cell in cells_of(_made(), found)}


@pytest.mark.parametrize(("shift", "told"), [(0.0, "="), (STEP, "1 LSB"), (2 * STEP, "2 LSB")])
def test_int8_cell_counts_steps_from_this_machine(shift: float, told: str) -> None:
    shown = _cells(shift)["tflite-runtime", "int8", "armhf"].shown()
    assert shown.startswith("100 %, ") and shown.endswith(f"dB, {told}")


def test_float_cell_is_the_difference_from_torch() -> None:
    cell = _cells(0.5)["tflite-runtime", "float32", "armhf"]
    assert cell.worst == pytest.approx(0.5 / TORCH.std())
    assert cell.shown() == f"{cell.worst:.1e}"


def test_changed_class_lowers_the_agreement() -> None:
    found = Answers()
    found.answers["x86-64", "litert", "net", "int8"] = Answer(TORCH[:, ::-1], ("XNNPACK",), "2.3.0")
    (cell,) = [one for one in cells_of(_made(), found) if one.worst is not None]
    assert cell.agreement == 0.0


def test_page_tells_why_a_cell_is_empty() -> None:
    cells = list(_cells(refused="no wheel for 32-bit ARM").values())
    text = page([_made()], cells, {"torch": "2.13.0"})
    assert "- TFLite, tflite-runtime on armhf: no wheel for 32-bit ARM" in text
    row = next(line for line in text.splitlines() if line.startswith("| net | TFLite, tflite-runtime | int8"))
    assert row.endswith("| - | - |")
