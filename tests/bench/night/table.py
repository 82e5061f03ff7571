"""The parts as plain lines, and as Markdown: docs/night.md is written by this, never by hand."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.table import aligned, plain
from tests.bench.night.run import Part

_HEAD = """# What a night costs

Written by `./inv bench.night`; every figure is of the runs below. What a night is: [nightly.md](nightly.md).
"""


def lines(parts: Mapping[str, Part]) -> list[str]:
    """All of it, for a terminal."""
    shown = []
    for part in parts.values():
        shown += ["", f"  {part.title} ({described(part)})", "", *aligned(part.found.rows)]
        shown += [f"  PROBLEM: {plain(problem)}" for problem in part.found.problems]
    return shown


def markdown(parts: Mapping[str, Part]) -> str:
    """A section a part."""
    shown = [_HEAD]
    for part in parts.values():
        shown += [f"## {part.title}", "", f"Run of {described(part)}."]
        if part.found.problems:
            shown[-1] += f" **Not to be relied on**: {'; '.join(map(_cell, part.found.problems))}."
        shown += ["", "| what | figure |", "| --- | --- |"]
        shown += [f"| {_cell(label)} | {_cell(figure)} |" for label, figure in part.found.rows]
        shown.append("")
    return "\n".join(shown)


def described(part: Part) -> str:
    """When, where and of what."""
    quick = "" if part.setting["name"] == "full" else f", {part.setting['name']}"
    return f"{part.started[:10]}, commit {(part.commit or 'none')[:12]}, on {part.machine}{quick}"


def _cell(text: str) -> str:
    return " ".join(plain(text).replace("|", "\\|").split())
