"""The body of `./inv shrink`: read what was asked, search, show what was found."""

from __future__ import annotations

from pathlib import Path

from edgewright.progress import for_stream
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.search.constraints import Constraints, read_budget
from targets.schema import read_target

MET, NOT_MET, INVALID = 0, 3, 4


def shrink(
    model: str,
    target: str,
    device: str | None = None,
    max_drop: float = 1.0,
    max_ms: float | None = None,
    max_kb: float | None = None,
    budget: str = "30m",
    seed: int = 0,
    json_file: str | None = None,
    dry_run: bool = False,
) -> int:
    """Exit status: 0 where the constraints are met, 3 where the best that was found does not hold them, 4 where the
    last session's report is invalid: the same search typed again takes it again. max_drop: points.

    Raises EdgewrightError.
    """
    from pipeline.keeping import write_told
    from pipeline.measuring import where_it_runs
    from pipeline.reach import device_of
    from pipeline.search.found import lines, recipe_lines
    from pipeline.search.search import run

    asked, budget_s = Constraints(max_drop / 100, max_ms, max_kb), read_budget(budget)
    project = Project.here()
    recipe, kind = read_recipe(model, project.root), read_target(target, project.root)
    entry = device_of(project, kind, device)
    print(f"{recipe.name} > {kind.name}     device: {where_it_runs(entry, kind.name)}", flush=True)
    if dry_run:
        print(f"  would search for {budget_s:.0f} s: base, sensitivity, costs, allocation, candidates, finalists")
        return MET
    found = run(
        project, recipe, kind, device, asked, budget_s, seed, for_stream(),
        note=lambda line: print(f"  {line}", flush=True),
    )  # fmt: skip
    shown = {**found.outcome, "page": project.shown(Path(found.outcome["page"]))}
    print("\n".join([*lines(shown), *recipe_lines(found.outcome)]), flush=True)
    if json_file:
        write_told(json_file, found.outcome)
    if not found.outcome["valid"]:
        return INVALID
    return MET if found.met else NOT_MET
