"""The command behind `./inv bench.night`: what a night costs; docs/night.md is what it writes."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import write_atomically
from pipeline.project import Project
from tests.bench.night import table
from tests.bench.night.run import NAMES, run
from tests.bench.night.setting import FULL, QUICK, Setting

JSON, MARKDOWN = "bench.json", "bench.md"


def main(arguments: list[str] | None = None) -> int:
    """Prints the table, writes bench.json and bench.md; 1 where a figure can't be relied on, else 0."""
    given = _parser().parse_args(arguments)
    project = Project.here()
    try:
        setting = _setting(given)
        out = given.out or project.state / "bench" / f"night-{setting.name}"
        parts = run(setting, project, out / JSON, given.only, _say)
    except EdgewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:
        print(f"error: the bench can't be run here: {error}\n  next:  the same command again", file=sys.stderr)
        return 1
    text = table.markdown(parts).encode("utf-8", "replace")
    for path in (out / MARKDOWN, *([given.doc] if given.doc else [])):
        write_atomically(path, text)
    print("\n".join(table.lines(parts)))
    print(f"  json      {project.shown(out / JSON)}")
    print(f"  markdown  {project.shown(out / MARKDOWN)}")
    return 1 if any(part.found.problems for part in parts.values()) else 0


def _setting(given: argparse.Namespace) -> Setting:
    """What was asked. Raises BadArgument."""
    setting = QUICK if given.quick else FULL
    if given.call_ms is None:
        return setting
    if not 0 <= given.call_ms <= 1000:
        raise BadArgument(f"A call can't take {given.call_ms} ms", where="--call-ms", remedy="give 0 to 1000")
    return replace(setting, call_ms=given.call_ms)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./inv bench.night", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few devices and nights: shows that everything runs")
    parser.add_argument("--only", choices=NAMES, help="one part; the others stay as --out holds them")
    parser.add_argument("--call-ms", type=float, help="what a call takes on a board (default 60; quick: 4)")
    parser.add_argument("--out", type=Path, help="folder for bench.json and bench.md")
    parser.add_argument("--doc", type=Path, help="write the Markdown here as well, e.g. docs/night.md")
    return parser


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
