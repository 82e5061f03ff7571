"""Whether every file of every shipped model gives the same answers on ARM as here: `./inv bench.parity`.

torch, ONNX and TFLite, float32 and INT8, on x86-64, arm64 and armhf; the ARM machines are emulated doubles with the
runtimes that real boards get. Answers only, no times. Needs root (see tests/doubles/arm_root.py).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from device_agents.farm.inventory import stand_in
from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json, write_atomically
from edgewright.places import cache_folder
from pipeline.export.drift import sqnr, worst_difference
from pipeline.project import Project
from pipeline.recipe import recipe_files
from tests.arm.cells import RUNTIMES, Answers, ask_everywhere
from tests.arm.made import PRECISIONS, Made, make
from tests.doubles.arm import ArmDouble
from tests.doubles.arm_boards import BOARDS
from tests.doubles.arm_root import missing

LIKE = {"arm64": "raspberry-pi", "armhf": "raspberry-pi-32"}
MACHINES = ("x86-64", *LIKE)
# Of the big ones an emulated inference takes seconds.
SAMPLES, FEW = 16, {"minilm-sentiment": 4, "efficientnet-lite0": 2}
# Longer training would not change whether machines agree; digits' takes seconds anyway.
EPOCHS: dict[str, int | None] = {"digits": None}
TRAINED_ON = 4096
_INTRODUCTION = """\
`./inv bench.parity --out docs/parity.md` (as root) writes this page: each shipped model, unpruned, as ONNX and TFLite,
in float32 and INT8, is asked the first samples of its test part on this machine and on two emulated ARM boards, by the
agent and the runtimes that real boards get. A float32 cell is the largest difference from torch on x86-64 as a share of
the spread of torch's outputs. An INT8 cell is how often the class is torch's, the noise against torch (SQNR), and what
the same runtime gives on x86-64: `=` the same to the bit, `2 LSB` at most two steps of the output's scale away. torch
itself, on x86-64, is what all are compared with. Models without weights of their own are trained briefly: whether
machines agree is the question here, not how good a model is."""
_SPOKEN = {"onnxruntime": "ONNX, onnxruntime", "litert": "TFLite, LiteRT", "tflite-runtime": "TFLite, tflite-runtime"}


@dataclass(frozen=True)
class Cell:
    """One file on one machine. worst, sqnr_db, agreement: against torch on x86-64 (worst as a share of the spread);
    home_steps: largest difference from the same runtime on x86-64 in steps of the output (0: to the bit), None where
    there are no steps; home_worst: the same as a share of the spread. why: where there is no answer, the reason.
    """

    model: str
    runtime: str
    precision: str
    machine: str
    samples: int
    worst: float | None = None
    sqnr_db: float | None = None
    agreement: float | None = None
    home_worst: float | None = None
    home_steps: float | None = None
    version: str = ""
    providers: tuple[str, ...] = ()
    why: str = ""

    def shown(self) -> str:
        """As in the table; "-" where there is no answer."""
        if self.worst is None or self.sqnr_db is None or self.agreement is None:
            return "-"
        if self.precision == "float32":
            return f"{self.worst:.1e}"
        told = f"{self.agreement:.0%}, {self.sqnr_db:.1f} dB".replace("%", " %")
        return told if self.machine == "x86-64" else f"{told}, {self._home()}"

    def _home(self) -> str:
        if self.home_worst is None:
            return "?"
        if self.home_worst == 0:
            return "="
        if self.home_steps is not None:
            return f"{max(1, round(self.home_steps))} LSB"
        return f"{self.home_worst:.1e}"


def cells_of(made: Made, found: Answers) -> list[Cell]:
    """Every file of one model on every machine, judged."""
    cells = []
    for runtime, format_ in RUNTIMES.items():
        for precision in PRECISIONS:
            home = found.answers.get(("x86-64", runtime, made.name, precision))
            step = made.steps.get((format_, precision))
            for machine in MACHINES:
                blank = Cell(made.name, runtime, precision, machine, len(made.torch))
                key = (machine, runtime, made.name, precision)
                answer = found.answers.get(key)
                if answer is None or answer.outputs is None:
                    why = answer.failed if answer is not None else found.refused.get(key, "not asked")
                    cells.append(replace(blank, why=why))
                    continue
                outputs = answer.outputs
                cell = replace(
                    blank,
                    worst=worst_difference(made.torch, outputs),
                    sqnr_db=sqnr(made.torch, outputs),
                    agreement=float((made.torch.argmax(-1) == outputs.argmax(-1)).mean()),
                    version=answer.version,
                    providers=answer.providers,
                )
                if home is not None and home.outputs is not None:
                    largest = float(abs(home.outputs - outputs).max())
                    cell = replace(
                        cell,
                        home_worst=worst_difference(home.outputs, outputs) if largest else 0.0,
                        home_steps=largest / step if step else None,
                    )
                cells.append(cell)
    return cells


def page(mades: Sequence[Made], cells: Sequence[Cell], versions: Mapping[str, str]) -> str:
    """The Markdown page."""
    lines = [
        "# The same answers everywhere?",
        "",
        *_INTRODUCTION.splitlines(),
        "",
        "| model | file and runtime | precision | " + " | ".join(MACHINES) + " |",
        "| --- | --- | --- |" + " --- |" * len(MACHINES),
    ]
    for made in mades:
        for runtime in RUNTIMES:
            for precision in PRECISIONS:
                row = [c for c in cells if (c.model, c.runtime, c.precision) == (made.name, runtime, precision)]
                lines.append(f"| {made.name} | {_SPOKEN[runtime]} | {precision} | " + _row(row) + " |")
    lines += ["", "## Samples and weights", ""]
    lines += [f"- {made.name}: {_count(len(made.torch))}, {made.trained}" for made in mades]
    if reasons := _reasons(cells):
        lines += ["", "## Why a cell is empty", "", *reasons]
    lines += ["", "## Versions", "", *(f"- {name}: {told}" for name, told in versions.items())]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[Cell]) -> str:
    by_machine = {cell.machine: cell for cell in cells}
    return " | ".join(by_machine[machine].shown() for machine in MACHINES)


def _count(number: int) -> str:
    return f"{number} sample{'s' if number != 1 else ''}"


def _reasons(cells: Sequence[Cell]) -> list[str]:
    """One line a reason, with the cells that share it."""
    places: dict[str, list[str]] = {}
    for cell in cells:
        if cell.why:
            where = f"{_SPOKEN[cell.runtime]} on {cell.machine}"
            known = places.setdefault(cell.why, [])
            if where not in known:
                known.append(where)
    return [f"- {'; '.join(where)}: {why}" for why, where in places.items()]


def versions_of(cells: Sequence[Cell]) -> dict[str, str]:
    """What made the files and what ran them, for the foot of the page."""
    from importlib.metadata import version

    found = {name: version(name) for name in ("torch", "onnx", "onnxruntime", "litert-torch", "ai-edge-quantizer")}
    for runtime in RUNTIMES:
        told = {
            f"{c.version} on {c.machine} ({', '.join(c.providers)})"
            for c in cells
            if c.runtime == runtime and c.version
        }
        found[f"{runtime} as run"] = "; ".join(sorted(told)) or "-"
    for machine, like in LIKE.items():
        board = BOARDS[like]
        found[machine] = (
            f"Debian {board.root.suite} {board.root.arch} under qemu-user as {board.cpu}, "
            "behind sshd (tests/doubles/arm.py)"
        )
    return found


def say(text: str) -> None:
    """Progress goes to stderr: stdout is the page."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="./inv bench.parity", description=__doc__)
    parser.add_argument("--out", type=Path, help="the page to write, and beside it .json; left out: to the screen")
    parser.add_argument("--only", action="append", default=[], help="a model; may be given again")
    given = parser.parse_args(arguments)
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    names = given.only or list(recipe_files(Path.cwd()))
    try:
        with tempfile.TemporaryDirectory(prefix="edgewright-parity-") as folder, ExitStack() as stack:
            mades = []
            for name in names:
                say(f"making the files of {name} ...")
                mades.append(make(name, Path(folder, name), FEW.get(name, SAMPLES), EPOCHS.get(name, 1), TRAINED_ON))
            machines = {"x86-64": stand_in("parity")}
            for machine, like in LIKE.items():
                machines[machine] = stack.enter_context(ArmDouble(Path(folder, like), like)).entry()
            wanted = dict.fromkeys(MACHINES, tuple(RUNTIMES))
            found = ask_everywhere(mades, machines, wanted, Path(folder, "state"), cache_folder(), say)
    except (EdgewrightError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    cells = [cell for made in mades for cell in cells_of(made, found)]
    versions = versions_of(cells)
    text = page(mades, cells, versions)
    content: dict[str, Any] = {"cells": [asdict(cell) for cell in cells], "versions": versions}
    write_atomically(Project.here().state / "bench" / "parity.json", pretty_json(content))
    if given.out is None:
        print(text, end="")
        return 0
    write_atomically(given.out.with_suffix(".json"), pretty_json(content))
    write_atomically(given.out, text.encode())
    say(f"written: {os.fspath(given.out)} and {os.fspath(given.out.with_suffix('.json'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
