"""What a night builds of a recipe: its own variants, or those that a finished search has found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.plan import Plan, make_plan
from pipeline.project import Project
from pipeline.recipe import Recipe
from pipeline.search.default import within
from pipeline.search.found import SCHEMA
from pipeline.shrinking import Shrink
from targets.schema import Target


def night_plan(project: Project, recipe: Recipe, target: Target) -> Plan:
    """The plan of a night: a search is too long for one, so a recipe that leaves its variants to us gets those of the
    newest search for that target, and only its trained network where there was none."""
    given = recipe
    if "shrink" not in recipe.model_fields_set and (found := searched(project.state, recipe.name, target.name)):
        given = recipe.model_copy(update={"shrink": found})
    return make_plan(given, within(target, recipe))


def searched(state: Path, model: str, target: str) -> tuple[Shrink, ...]:
    """What the newest finished search has measured at its end; one on a real device goes before one on a stand-in."""
    outcomes = [
        (not content["stand_in"], path.stat().st_mtime_ns, shrinks)
        for path in (state / "searches").glob("*/found.json")
        if (content := _read(path)) is not None
        and (content.get("schema"), content.get("model"), content.get("target")) == (SCHEMA, model, target)
        and (shrinks := _shrinks(content))
    ]
    return max(outcomes, key=lambda one: one[:2])[2] if outcomes else ()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("stand_in"), bool) else None


def _shrinks(content: dict[str, Any]) -> tuple[Shrink, ...]:
    """Of the bundles that were measured at the end, each [[shrink]] table once; () where one can't be read any more."""
    try:
        measured = [one["shrink"] for one in content["candidates"] if one["digest"] and one["shrink"]]
        return tuple({one["name"]: Shrink.model_validate(one) for one in measured}.values())
    except (KeyError, TypeError, ValidationError):
        return ()
