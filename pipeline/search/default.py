"""What `deploy` builds where a recipe names no [[shrink]]: what a search on the same device found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from device_agents.farm.inventory import DeviceEntry
from edgewright.progress import Progress
from pipeline.build import Done
from pipeline.project import Project
from pipeline.search.constraints import Constraints, read_budget
from pipeline.shrinking import Shrink

if TYPE_CHECKING:
    from pipeline.recipe import Recipe
    from targets.schema import Target

BLIND = Shrink(filters=0.5)
"""Where times mean nothing there is nothing to search by: half of the channels shows that a shrunk network runs."""


def completed(
    project: Project,
    recipe: Recipe,
    target: Target,
    entry: DeviceEntry,
    device: str | None,
    progress: Progress,
    say: Callable[[Done], None],
    note: Callable[[str], None],
) -> Recipe:
    """The recipe with the variants that it leaves to us; one that names its own, or none on purpose, is left as it is.

    device: as it was typed. Raises what pipeline.search.search.run does.
    """
    if "shrink" in recipe.model_fields_set:
        return recipe
    if entry.emulated:
        note(f"{entry.name} is emulated: its times mean nothing, so nothing is searched; half of the channels go")
        return recipe.model_copy(update={"shrink": (BLIND,)})
    from pipeline.search.search import run

    asked = recipe.search
    note(f"{recipe.name} names no [[shrink]]: searching for {asked.budget}, {asked.max_drop:g} points may go")
    limits = Constraints(asked.max_drop / 100, asked.max_ms, asked.max_kb)
    budget = read_budget(asked.budget)
    return run(project, recipe, target, device, limits, budget, recipe.seed, progress, say, note).recipe
