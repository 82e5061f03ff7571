"""The findings as Markdown, for docs/pruning.md: its figures are pasted from here, never typed."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.pruning.run import Bench
from tests.bench.pruning.table import described


def text(bench: Bench) -> str:
    """All findings: per claim its words, its statements with their verdicts, and the tables behind them."""
    commit = bench.machine.get("commit") or "no commit"
    found = [f"Run of {bench.started[:10]}, commit {commit[:12]}: {described(bench)}.", ""]
    for finding in bench.findings:
        found += [f"### {finding.title}", "", f"> {finding.claimed}", ""]
        if finding.statements:
            found += _table(
                ("statement", "verdict", "figure"), [(one.text, one.verdict, one.shown) for one in finding.statements]
            )
        for table in finding.tables:
            found += [f"{table.title}:", "", *_table(table.head, table.rows)]
        found += [line for note in finding.notes for line in (note, "")]
    return "\n".join(found)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines), ""]
