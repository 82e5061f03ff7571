"""What pruning does with every network of the zoo, by structure and criterion: `./inv bench.coverage`.

A cell says "pruned" only where this run has cut the network, compared it with the same units masked, with nobody
reading them, and counted what is left by a library. No times: the same code gives the same page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from edgewright.errors import EdgewrightError
from edgewright.files import write_atomically
from edgewright.progress import Progress, for_stream, piece
from pipeline.pruning import coupling
from pipeline.pruning.criteria import CRITERIA
from pipeline.pruning.layers import find_layers
from pipeline.pruning.shrink import Wish
from pipeline.pruning.sparsity import CantSparsify, Pattern, share_of_zeros, sparsify, unfit
from pipeline.pruning.trial import outputs
from tests.zoo import REFUSED, ZOO
from tests.zoo.entry import Entry
from tests.zoo.proof import counted, gaps, prepared, pruned, skipped_gap, traced_once

SHARE, EXACT = 0.5, 1e-5
KINDS = ("filters", "heads", "neurons")
PATTERNS: tuple[tuple[Pattern, float], ...] = (("unstructured", 0.9), ("2:4", 0.5))


_INTRODUCTION = f"""\
`./inv bench.coverage` prints this page, `./inv bench.coverage --out docs/coverage.md` writes it. Each cell was tried in
that run: of one structure of a small network of `tests/zoo`, {SHARE:.0%} of the units were asked for and cut. That
was compared with the same network in which those units are only masked, and with one in which nobody reads them (for
layers: with one in which they hand on what they are given); all are equal to {EXACT:g} of the outputs' spread.
Parameters and MACs were counted by torch. `24/48 (-37%)`: 24 of 48 units went, and with them 37 % of the network's
parameters. A structure that a network lacks has no row. Each network `trap-...` holds one piece at which pruners go
wrong without a word."""


@dataclass
class Row:
    """One network. cells: {structure: {criterion: what came of it}}; left: {reason: modules}; zeros: by pattern."""

    name: str
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    zeros: dict[str, str] = field(default_factory=dict)
    refused: str = ""


def examine(name: str, entry: Entry, criteria: Iterable[str], advance: Callable[[], None]) -> Row:
    """Tries every structure and criterion on one network."""
    row = Row(name)
    if entry.missing:
        row.refused = f"not tried: {entry.missing}"
        return row
    network = prepared(entry)
    try:
        structure = coupling.find_structure(network, entry.samples())
    except EdgewrightError as error:
        row.refused = f"{type(error).__name__}: {error.what} ({error.where})"
        return row
    layers, kept = find_layers(network, entry.samples())
    for one in [*structure.left, *kept]:
        row.left.setdefault(one.reason, []).append(one.module)
    with traced_once():
        for kind in KINDS:
            total = sum(group.units for group in structure.groups if group.kind == kind)
            if total:
                row.cells[kind] = {}
                for criterion in criteria:
                    row.cells[kind][criterion] = _units(entry, kind, criterion, total)
                    advance()
        if layers:
            row.cells["layers"] = {}
            for criterion in criteria:
                row.cells["layers"][criterion] = _layers(entry, criterion, len(layers))
                advance()
    row.zeros = {pattern: _zeros(entry, pattern, share) for pattern, share in PATTERNS}
    return row


def _units(entry: Entry, kind: str, criterion: str, total: int) -> str:
    try:
        case = pruned(entry, Wish(criterion=criterion, min_width=1, **{kind: SHARE}))  # type: ignore[arg-type]
    except EdgewrightError as error:
        return f"refused: {type(error).__name__}"
    try:
        right = max(gaps(case).values()) <= EXACT and counted(case.network, entry) == case.outcome.after
    except AssertionError as error:
        print(f"{criterion}: {error}", file=sys.stderr)
        right = False
    if not right:
        return "WRONG"
    gone = sum(before - after for _, before, after in case.outcome.units.values())
    return f"{gone}/{total} (-{1 - case.outcome.after.params / case.outcome.before.params:.0%})"


def _layers(entry: Entry, criterion: str, total: int) -> str:
    try:
        case = pruned(entry, Wish(criterion=criterion, blocks=SHARE))
    except EdgewrightError as error:
        return f"refused: {type(error).__name__}"
    if skipped_gap(entry, case) > EXACT or counted(case.network, entry) != case.outcome.after:
        return "WRONG"
    params = 1 - case.outcome.after.params / case.outcome.before.params
    return f"{len(case.outcome.blocks)}/{total} (-{params:.0%})"


def _zeros(entry: Entry, pattern: Pattern, share: float) -> str:
    network = prepared(entry)
    shapes = [one.shape for one in outputs(network, entry.samples())]
    try:
        made = sparsify(network, share, pattern)
    except CantSparsify as error:
        return f"refused: {error.what}"
    names = [one.tensor for one in made]
    zeros, of = sum(one.zeros for one in made), sum(one.of for one in made)
    if abs(share_of_zeros(network, names) - zeros / of) > 1e-9:
        return "WRONG"
    if [one.shape for one in outputs(network, entry.samples())] != shapes:
        return "WRONG"
    left = len(unfit(network)) if pattern == "2:4" else 0
    return f"{zeros}/{of}" + (f", {left} left as they are" if left else "")


def page(rows: list[Row], criteria: list[str]) -> str:
    """The rows as Markdown."""
    tried = [row for row in rows if not row.refused]
    parts = [
        "# What pruning covers",
        _INTRODUCTION,
        "## Cut, by structure and criterion",
        _table(
            ["network", "structure", *criteria],
            [
                [row.name, kind, *(cells[criterion] for criterion in criteria)]
                for row in tried
                for kind, cells in row.cells.items()
            ],
        ),
        "## Zeros (by magnitude, the shape stays)",
        _table(
            ["network", *(f"{pattern}, {share:.0%}" for pattern, share in PATTERNS)],
            [[row.name, *row.zeros.values()] for row in tried],
        ),
        "## Left alone, with the reason",
        _table(
            ["network", "modules", "why"],
            [[row.name, ", ".join(dict.fromkeys(modules)), why] for row in tried for why, modules in row.left.items()],
        ),
        "## Refused",
        _table(["network", "with the words"], [[row.name, row.refused] for row in rows if row.refused]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def wrong(rows: list[Row]) -> list[str]:
    """Cells that say something that must not be."""
    found = [
        f"{row.name}, {kind}, {criterion}: {cell}"
        for row in rows
        for kind, cells in row.cells.items()
        for criterion, cell in cells.items()
        if cell == "WRONG" or "WrongCut" in cell
    ]
    return found + [f"{row.name}, zeros: {cell}" for row in rows for cell in row.zeros.values() if cell == "WRONG"]


def run(names: list[str], criteria: list[str], progress: Progress) -> list[Row]:
    everything = {**ZOO, **REFUSED}
    rows = []
    for name in names:
        entry = everything[name]
        with piece(progress, name, 4 * len(criteria)):
            rows.append(examine(name, entry, criteria, progress.advance))
    return rows


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the page here as well")
    parser.add_argument("--only", action="append", choices=[*ZOO, *REFUSED], help="a network; may be repeated")
    parser.add_argument("--criterion", action="append", choices=list(CRITERIA), help="may be repeated; default: all")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    criteria = given.criterion or list(CRITERIA)
    rows = run(
        given.only or [name for name, entry in {**ZOO, **REFUSED}.items() if not entry.large], criteria, for_stream()
    )
    text = page(rows, criteria)
    print(text)
    if given.out is not None:
        write_atomically(given.out, text.encode())
    for one in wrong(rows):
        print(f"WRONG: {one}", file=sys.stderr)
    return 1 if wrong(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
