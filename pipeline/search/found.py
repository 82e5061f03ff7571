"""What a search found: as an object, as the JSON that bench and deploy read, and as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.farm.figures import show_bytes, show_count, show_metric, show_ms, show_ratio
from device_agents.farm.paired import Ratio
from pipeline.recipe import Recipe
from pipeline.table import aligned, plain

SCHEMA = "edgewright-shrink/1"


@dataclass(frozen=True)
class Found:
    """outcome: edgewright-shrink/1; recipe: the model's, with the finalists as its [[shrink]] tables, so that a deploy
    of it finds everything built."""

    outcome: Mapping[str, Any]
    recipe: Recipe

    @property
    def met(self) -> bool:
        return bool(self.outcome["met"])


def lines(outcome: Mapping[str, Any]) -> list[str]:
    """The front as a table, the choice, and the [[shrink]] table that makes it."""
    rows = [
        ["variant", "runtime", "size", "download", "params", "MACs", _metric_name(outcome), "p50 ms", "speed-up", ""]
    ]
    for one in outcome["front"]:
        chosen = "chosen" if one["name"] == outcome["chosen"] else ""
        rows.append([plain(one["name"]), one["runtime"], *_figures(one), chosen])
    said = ["", *aligned(rows)]
    said.append(f"  {plain(outcome['why'])}")
    for one in outcome.get("candidates", ()):
        if one.get("instead"):
            said.append(f"  {plain(one['name'])}: {plain(one['reason'])}; instead: {plain(one['instead'])}")
    said += [f"  warning: {plain(warning)}" for warning in outcome["warnings"]]
    costs = outcome["costs"]
    if costs["entries"]:
        off = costs["error"]["median"]
        beside = "" if off is None else f"; whole models were off by {off:.0%} (median)".replace("%", " %")
        said.append(f"  costs   {costs['entries']} layers measured{beside}")
    said.append(f"  budget  {outcome['spent_s']:.0f} of {outcome['budget_s']:.0f} s")
    if outcome["bundle"]:
        said.append(f"  bundle  {plain(outcome['bundle'])}")
    said.append(f"  report  {plain(outcome['page'])} (open it in a browser)")
    return said


def recipe_lines(outcome: Mapping[str, Any]) -> list[str]:
    """The chosen one's [[shrink]] table, to be copied into the recipe; [] where it is the trained network."""
    chosen = next((one for one in outcome["front"] if one["name"] == outcome["chosen"]), None)
    if chosen is None or not chosen["shrink"]:
        return []
    return ["", "  to keep it, put this into the recipe:", "  [[shrink]]", *_toml(chosen["shrink"])]


def _toml(table: Mapping[str, Any]) -> list[str]:
    import json

    def value(given: Any) -> str:
        if isinstance(given, Mapping):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(one)}" for key, one in given.items()) + " }"
        if isinstance(given, list | tuple):
            return "[" + ", ".join(map(value, given)) + "]"
        return json.dumps(given)

    ordered = sorted(table.items(), key=lambda one: (one[0] != "name", one[0] in ("remove", "widths"), one[0]))
    return [f"  {key} = {value(given)}" for key, given in ordered]


def _figures(one: Mapping[str, Any]) -> list[str]:
    metric, ratio = one["metric"], one["speedup"]
    return [
        show_bytes(one["bytes"]) if one["bytes"] else "-",
        show_bytes(one["download"]) if one["download"] else "-",
        show_count(one["params"]) if one["params"] else "-",
        show_count(one["macs"]) if one["macs"] else "-",
        show_metric(metric["name"], metric["value"]) if metric else "-",
        show_ms(one["p50_ms"]) if one["p50_ms"] else "-",
        show_ratio(Ratio(**ratio)) if ratio else "1.00x",
    ]


def _metric_name(outcome: Mapping[str, Any]) -> str:
    return plain(next((one["metric"]["name"] for one in outcome["front"] if one["metric"]), "metric"))
