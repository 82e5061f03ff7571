"""`python -m tests.bench.pruning [--quick] [--out FOLDER] [--seeds N] [--only CLAIM]`: see docs/pruning.md."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.files import canonical_json, write_atomically
from edgewright.progress import for_stream
from pipeline.project import Project
from tests.bench.pruning import page, table
from tests.bench.pruning.run import run
from tests.bench.pruning.setting import FULL, QUICK


def main(arguments: list[str] | None = None) -> int:
    """Prints the table, writes bench.json and bench.html; 0, or 1 with a message."""
    parser = argparse.ArgumentParser(prog="./inv bench.pruning", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, few samples: shows that everything runs")
    parser.add_argument("--out", type=Path, help="folder for bench.json and bench.html")
    parser.add_argument("--seeds", type=int, help="how many seeds")
    parser.add_argument("--only", help="one claim")
    parser.add_argument("--threads", type=int, help="torch's threads in every training (default 2)")
    given = parser.parse_args(arguments)
    setting = QUICK if given.quick else FULL
    if given.seeds is not None:
        setting = replace(setting, seeds=tuple(range(max(1, given.seeds))))
    if given.threads is not None:
        setting = replace(setting, threads=max(1, given.threads))
    project = Project.here()
    out = given.out or project.state / "bench" / f"pruning-{setting.name}"
    try:
        bench = run(setting, given.only, project, for_stream())
    except EdgewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    write_atomically(out / "bench.json", canonical_json(bench.to_json()))
    write_atomically(out / "bench.html", page.render(bench).encode("utf-8", "replace"))
    print("\n".join(table.lines(bench)))
    print(f"  json  {project.shown(out / 'bench.json')}")
    print(f"  page  {project.shown(out / 'bench.html')} (open it in a browser)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
