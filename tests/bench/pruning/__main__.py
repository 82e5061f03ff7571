"""The command behind `./inv bench.pruning`; docs/pruning.md says what it finds."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.files import canonical_json, write_atomically
from edgewright.progress import for_stream
from pipeline.project import Project
from tests.bench.pruning import markdown, page, table
from tests.bench.pruning.run import run
from tests.bench.pruning.setting import FULL, QUICK


def main(arguments: list[str] | None = None) -> int:
    """Prints the table, writes bench.json, bench.md and bench.html; 1 where a cell could not be made, else 0."""
    parser = argparse.ArgumentParser(prog="./inv bench.pruning", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, few samples: shows that everything runs")
    parser.add_argument("--out", type=Path, help="folder for bench.json, bench.md and bench.html")
    parser.add_argument("--seeds", type=int, help="how many seeds")
    parser.add_argument("--only", help="one claim")
    parser.add_argument("--jobs", type=int, default=2, help="processes that train at once (default 2)")
    given = parser.parse_args(arguments)
    setting = QUICK if given.quick else FULL
    if given.seeds is not None:
        setting = replace(setting, seeds=tuple(range(max(1, given.seeds))))
    project = Project.here()
    out = given.out or project.state / "bench" / f"pruning-{setting.name}"
    try:
        bench = run(setting, given.only, project, for_stream(), max(1, given.jobs))
    except EdgewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    write_atomically(out / "bench.json", canonical_json(bench.to_json()))
    write_atomically(out / "bench.html", page.render(bench).encode("utf-8", "replace"))
    write_atomically(out / "bench.md", markdown.text(bench).encode("utf-8", "replace"))
    print("\n".join(table.lines(bench)))
    print(f"  json  {project.shown(out / 'bench.json')}")
    print(f"  page  {project.shown(out / 'bench.html')} (open it in a browser)")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
