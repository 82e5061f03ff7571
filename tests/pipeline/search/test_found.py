"""What a person reads at the end: the front, the choice, and a [[shrink]] table that the recipe can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewright.toml import read_toml
from pipeline.search.found import lines, recipe_lines
from pipeline.shrinking import Shrink

CHOSEN: dict[str, Any] = {
    "name": "c01-e2+int8", "runtime": "litert", "precision": "int8", "metric": {"name": "top-1", "value": 0.917},
    "p50_ms": 0.0257, "speedup": {"value": 2.44, "low": 2.28, "high": 2.77}, "bytes": 64_000, "download": 55_000,
    "params": 55_700, "macs": 1_290_000,
    "shrink": {"epochs": 2, "name": "c01-e2", "remove": ["blocks.0"], "widths": {"blocks.1.conv2": 24}},
}  # fmt: skip
BASE = {**CHOSEN, "name": "trained", "speedup": None, "shrink": {}}


def _outcome(**more: Any) -> dict[str, Any]:
    return {
        "front": [CHOSEN, BASE], "chosen": "c01-e2+int8", "why": "met: it is faster", "warnings": ["busy"],
        "costs": {"entries": 63, "error": {"median": 0.01, "p90": 0.02}}, "spent_s": 58.2, "budget_s": 60.0,
        "bundle": "b", "page": "p.html", **more,
    }  # fmt: skip


def test_the_front_is_a_table_with_the_choice_marked() -> None:
    text = lines(_outcome())
    row = next(line for line in text if "c01-e2+int8" in line)
    assert row.endswith("chosen")
    assert "2.44x [2.28 2.77]" in row
    assert any("63 layers" in line and "1 %" in line for line in text)
    assert "  warning: busy" in text


def test_what_to_do_about_a_variant_that_does_not_pay_is_said() -> None:
    slow = {**CHOSEN, "name": "c01-e2", "reason": "0.80x: dispatch-bound", "instead": "remove blocks"}
    plain = {**CHOSEN, "reason": None, "instead": None}
    text = lines(_outcome(candidates=[plain, slow]))
    assert [line for line in text if "instead" in line] == ["  c01-e2: 0.80x: dispatch-bound; instead: remove blocks"]


def test_the_chosen_table_is_read_back_by_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("\n".join(line.strip() for line in recipe_lines(_outcome())[2:]))
    table = read_toml(tmp_path / "recipe.toml")["shrink"][0]
    assert Shrink(**table) == Shrink(**CHOSEN["shrink"])


def test_nothing_is_to_be_kept_where_the_trained_network_is_the_choice() -> None:
    assert recipe_lines(_outcome(chosen="trained")) == []
    assert recipe_lines(_outcome(chosen=None)) == []
