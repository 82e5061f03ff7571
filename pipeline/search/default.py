"""What `deploy` builds where a recipe names no [[shrink]]: what a search on the same device found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from device_agents.farm.inventory import DeviceEntry
from edgewright.progress import Progress
from pipeline.build import Done
from pipeline.project import Project
from pipeline.search.constraints import Constraints
from pipeline.searching import seconds
from pipeline.shrinking import Shrink

if TYPE_CHECKING:
    from pipeline.recipe import Recipe
    from targets.schema import Target

BLIND = Shrink(filters=0.5)
"""Where times mean nothing there is nothing to search by: half of the channels shows that a shrunk network runs."""


def within(target: Target, recipe: Recipe) -> Target:
    """The target with the limits of the search that a recipe leaves to us, where they are narrower than its own.

    recipe: as it was read, before `completed`.
    """
    if "shrink" in recipe.model_fields_set:
        return target
    asked, own = recipe.search, target.limits
    limits = {
        "latency_ms": _least(asked.max_ms, own.latency_ms),
        "size_kb": _least(asked.max_kb, own.size_kb),
        "accuracy_drop": _least(asked.max_drop / 100, own.accuracy_drop),
    }
    return target.model_copy(update={"limits": own.model_copy(update=limits)})


def _least(*limits: float | None) -> float | None:
    return min((one for one in limits if one is not None), default=None)


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
    from pipeline.pruning.tracer import NotTraceable
    from pipeline.search.search import run
    from pipeline.search.space import NothingToRemove

    asked = recipe.search
    note(f"{recipe.name} names no [[shrink]]: searching for {asked.budget}, {asked.max_drop:g} points may go")
    limits, budget_s = Constraints(asked.max_drop / 100, asked.max_ms, asked.max_kb), seconds(asked.budget)
    try:
        found = run(project, recipe, target, device, limits, budget_s, recipe.seed, progress, say, note)
    except (NothingToRemove, NotTraceable) as error:
        note(f"nothing is shrunk: {error.what}")
        return recipe
    note(found.outcome["why"])
    return found.recipe
