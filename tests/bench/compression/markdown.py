"""All runs as Markdown: docs/compression.md is written by this, never by hand."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.compression import table
from tests.bench.compression.run import Bench

_HEAD = """# Against what a user gets today

Written by `./inv bench.compression`; every figure is of the runs below. For each model one run: the same trained
network, data, epochs, runtime and device for all rows, timed interleaved in one session.
"""


def text(benches: Sequence[Bench]) -> str:
    """A section for each model: the aims first, then every row, then who ships what loses."""
    return "\n".join([_HEAD, *(line for bench in benches for line in _section(bench))])


def _section(bench: Bench) -> list[str]:
    commit, machine = bench.machine.get("commit") or "no commit", bench.machine.get("cpu") or bench.machine["machine"]
    found = [f"## {bench.model}", "", f"Run of {bench.started[:10]}, commit {commit[:12]}, on {machine}: "]
    found[-1] += f"{table.described(bench)}."
    if bench.problems:
        found[-1] += f" **The session was invalid**: {'; '.join(bench.problems)}."
    found.append("")
    if bench.reached:
        found += ["### Aims", "", *_table(table.AIMS, table.aim_cells(bench))]
    found += ["### Rows", "", *_table(table.HEAD, table.cells(bench))]
    found += ["### Slower or larger than what it came from", "", *_table(table.STAGES, table.stage_cells(bench))]
    return [*found, *(f"- {note}" for note in table.notes(bench)), ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in lines), ""]


def _cell(text: str) -> str:
    """One line, whatever a peer's message holds."""
    return " ".join(text.replace("|", "\\|").split())
