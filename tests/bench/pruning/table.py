"""The findings as plain lines: every statement with its verdict and the figure that decides."""

from __future__ import annotations

from collections import Counter

from device_agents.farm.figures import show_seconds
from tests.bench.pruning.run import Bench
from tests.bench.pruning.statements import Finding, Table

WIDTH = 120


def lines(bench: Bench) -> list[str]:
    """All of it, claim by claim."""
    found = ["", f"  bench.pruning ({bench.setting.name}): {described(bench)}"]
    for finding in bench.findings:
        found += ["", f"  {finding.title}", *_statements(finding)]
        for table in finding.tables:
            found += ["", *_table(table)]
        found += [f"    {note}" for note in finding.notes]
    verdicts = Counter(one.verdict for finding in bench.findings for one in finding.statements)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    if not bench.report.get("valid", True):
        problems = "; ".join(bench.report["problems"])
        found += [
            "",
            f"  the speeds are invalid: {problems}",
            "  next:  the same command on a quiet machine: it only times",
        ]
    return [*found, "", f"  {counted or 'nothing tried'}; {show_seconds(bench.seconds)}"]


def described(bench: Bench) -> str:
    """What was run, in half a line."""
    setting = bench.setting
    seeds = f"{len(setting.seeds)} seed{'s' if len(setting.seeds) > 1 else ''}"
    return (
        f"{seeds}, {setting.train:,} training samples, {setting.epochs} epochs of fine-tuning, {setting.test:,} tests"
    )


def _statements(finding: Finding) -> list[str]:
    wide = max((len(one.text) for one in finding.statements), default=0)
    return [f"    {one.verdict:<10}  {one.text:<{wide}}  {one.shown}" for one in finding.statements]


def _table(table: Table) -> list[str]:
    rows = [table.head, *table.rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.head))]
    shown = [
        "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [f"    {table.title}", *(line if len(line) <= 2 * WIDTH else line[: 2 * WIDTH - 2] + ".." for line in shown)]
