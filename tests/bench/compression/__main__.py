"""The command behind `./inv bench.compression`; docs/compression.md is what it writes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import pretty_json, write_atomically
from edgewright.progress import for_stream
from pipeline.project import Project
from pipeline.search.constraints import Constraints
from tests.bench.compression import markdown, page, table
from tests.bench.compression.run import JSON, Bench, missing, name_of, run
from tests.bench.compression.setting import HEADLINE, Setting, full, quick
from tests.bench.compression.work.searched import POINT


def main(arguments: list[str] | None = None) -> int:
    """Runs one model, then writes bench.md and bench.html of every model that --out holds a run of, and --doc.

    1 where one of our own rows could not be made, else 0.
    """
    given = _parser().parse_args(arguments)
    project = Project.here()
    try:
        setting = _setting(given)
        out = given.out or project.state / "bench" / f"compression-{setting.name}"
        folder = out / name_of(setting.model)
        bench = run(setting, project, folder, for_stream(), given.resume, _say)
    except EdgewrightError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    benches = every(out)
    write_atomically(out / "bench.md", markdown.text(benches).encode("utf-8", "replace"))
    if given.doc:
        write_atomically(given.doc, markdown.text(told(given.doc, bench)).encode("utf-8", "replace"))
    write_atomically(out / "bench.html", page.render(benches).encode("utf-8", "replace"))
    print("\n".join(table.lines(bench)))
    for label in missing(bench):
        print(f"  {label} is not installed: ./inv setup bench")
    print(f"  json  {project.shown(folder / JSON)}")
    print(f"  page  {project.shown(out / 'bench.html')} (open it in a browser)")
    return 1 if bench.failed else 0


def every(out: Path) -> list[Bench]:
    """The runs of all models that a folder holds, in the order of their names."""
    return [bench for file in sorted(out.glob(f"*/{JSON}")) if (bench := Bench.read(file)) is not None]


def told(doc: Path, bench: Bench) -> list[Bench]:
    """The run, kept as JSON in a folder beside the document (compression-runs/), and other models' that are kept there:
    models are run on different days, and a run of one must not lose what was found of another."""
    folder = doc.parent / f"{doc.stem}-runs"
    write_atomically(folder / f"{bench.model}.json", pretty_json(bench.to_json()))
    return [found for file in sorted(folder.glob("*.json")) if (found := Bench.read(file)) is not None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./inv bench.compression", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model and budget: shows that everything runs")
    parser.add_argument("--model", help="a recipe whose metric is top-1 (default resnet20; quick: digits)")
    parser.add_argument("--floors", help="points of top-1 that ours may lose, e.g. 0.5,1,3")
    parser.add_argument("--seeds", type=int, help="how many seeds the search of 1 point has")
    parser.add_argument("--budget", help="of each search, as ./inv shrink takes it (default 30m)")
    parser.add_argument("--max-kb", type=float, help="search 1 point once more for a file so small; 0: don't")
    parser.add_argument("--uncut", action="store_true", help="no networks that peers cut: training them takes longest")
    parser.add_argument("--out", type=Path, help="folder for bench.md, bench.html, and a folder for each model")
    parser.add_argument("--doc", type=Path, help="tell it in this document, keep its JSON beside it")
    parser.add_argument("--resume", action="store_true", help="take the rows that a run which was cut off has left")
    return parser


def _setting(given: argparse.Namespace) -> Setting:
    """What was asked. Raises BadArgument."""
    make = quick if given.quick else full
    setting = make(given.model) if given.model else make()
    if given.seeds is not None:
        if given.seeds < 1:
            raise BadArgument(f"{given.seeds} seeds can't be", where="--seeds", remedy="give 1 or more")
        setting = replace(setting, seeds=tuple(range(given.seeds)))
    if given.floors is not None:
        setting = replace(setting, floors=_floors(given.floors))
    if given.max_kb is not None:
        # As the search will, but hours earlier.
        setting = replace(setting, max_kb=Constraints(HEADLINE * POINT, max_kb=given.max_kb or None).max_kb)
    if given.uncut:
        setting = replace(setting, cuts=())
    return replace(setting, budget=given.budget) if given.budget else setting


def _floors(text: str) -> tuple[float, ...]:
    try:
        floors = tuple(sorted({float(one) for one in text.split(",")}))
    except ValueError:
        floors = ()
    if not floors or not all(0 <= floor <= 100 for floor in floors):
        raise BadArgument(f"{text!r} are no points", where="--floors", remedy="give some, e.g. --floors 0.5,1,3")
    return floors


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
