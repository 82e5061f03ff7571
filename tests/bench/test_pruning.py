"""The bench's own rules: verdicts from intervals, cells that are kept, the page; and that the quick run runs whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.paired import Ratio
from tests.bench.pruning import markdown
from tests.bench.pruning.cells import Cell, Cells, distinct
from tests.bench.pruning.claims import all_claims
from tests.bench.pruning.page import drawn, render
from tests.bench.pruning.run import Bench
from tests.bench.pruning.setting import FULL, QUICK
from tests.bench.pruning.statements import (
    Dot,
    Finding,
    Plot,
    Statement,
    Table,
    difference,
    larger,
    no_worse,
    not_faster,
    not_slower,
)
from tests.bench.pruning.table import lines


def test_difference_is_paired_and_its_interval_students() -> None:
    found = difference([0.93, 0.95, 0.94], [0.92, 0.93, 0.91])
    # Differences 1, 2, 3 points: mean 2, standard error 1/sqrt(3), t(2) = 4.303.
    assert found.mean == pytest.approx(0.02)
    assert found.error == pytest.approx(0.01 / 3**0.5)
    wide = 4.303 * 0.01 / 3**0.5
    assert found.low == pytest.approx(0.02 - wide)
    assert found.high == pytest.approx(0.02 + wide)


@pytest.mark.parametrize(
    ("ones", "verdict"),
    [
        ([0.95, 0.951, 0.952], "reproduced"),
        ([0.90, 0.899, 0.901], "refuted"),
        ([0.93, 0.9305, 0.9295], "refuted"),  # no effect larger than the margin
        ([0.95, 0.92, 0.93], "undecided"),
        ([0.99], "undecided"),  # one seed says nothing of its own spread
    ],
)
def test_larger_gives_the_verdict_of_the_interval(ones: list[float], verdict: str) -> None:
    assert larger(difference(ones, [0.93] * len(ones))) == verdict


@pytest.mark.parametrize(
    ("ones", "verdict"),
    [
        ([0.94, 0.93, 0.935], "reproduced"),
        ([0.9295, 0.9299, 0.9291], "reproduced"),  # within the standard error
        ([0.91, 0.911, 0.909], "refuted"),
        ([0.90, 0.94, 0.945], "reproduced"),  # below by less than the error, which is wide
        ([0.925, 0.928, 0.929], "undecided"),
    ],
)
def test_no_worse_allows_one_standard_error(ones: list[float], verdict: str) -> None:
    assert no_worse(difference(ones, [0.93] * len(ones))) == verdict


def test_speed_verdicts_take_the_whole_interval() -> None:
    assert not_faster(Ratio(1.0, 0.99, 1.01)) == "reproduced"
    assert not_faster(Ratio(1.5, 1.4, 1.6)) == "refuted"
    assert not_faster(Ratio(1.1, 0.9, 1.3)) == not_faster(None) == "undecided"
    assert not_slower(Ratio(1.1, 0.99, 1.3)) == "reproduced"
    assert not_slower(Ratio(0.8, 0.7, 0.9)) == "refuted"


def test_cell_is_made_once_and_again_for_other_code(tmp_path: Path) -> None:
    made: list[Any] = []

    def make(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        made.append(what)
        (out / "model.onnx").write_bytes(b"x")
        return {"value": what["seed"] * 2}

    cell = Cell("some", {"seed": 3})
    cells = Cells(tmp_path, {"some": make}, {"code": "a"}, {})
    assert cells.model(cell) is None
    assert cells.get(cell)["value"] == cells.get(Cell("some", {"seed": 3}))["value"] == 6
    assert len(made) == 1 and cells.model(cell) is not None
    Cells(tmp_path, {"some": make}, {"code": "b"}, {}).get(cell)
    assert len(made) == 2


def test_cell_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def make(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        (out / "model.onnx").write_bytes(b"half")
        raise RuntimeError("cut off")

    cells = Cells(tmp_path, {"some": make}, {}, {})
    with pytest.raises(RuntimeError):
        cells.get(Cell("some", {}))
    assert not cells.has(Cell("some", {})) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", [FULL, QUICK], ids=lambda one: one.name)
def test_every_claim_asks_for_distinct_cells_of_known_kinds(setting: Any) -> None:
    from tests.bench.pruning.work.kinds import KINDS

    for name, claim in all_claims().items():
        cells = claim.cells(setting)
        assert cells or name == "text"
        assert {cell.kind for cell in cells} <= set(KINDS)
        assert len(distinct(cells)) == len({cell.key for cell in cells})


def test_claims_share_their_cells() -> None:
    claims = all_claims()
    every = [cell.key for claim in claims.values() for cell in claim.cells(FULL)]
    assert len(set(every)) < len(every)


def test_plot_places_dots_in_order_of_value() -> None:
    found = drawn(Plot("", "%", [("a", [Dot(0.9, 0.89, 0.91, "a")]), ("b", [Dot(0.8, 0.8, 0.8, "b", "other")])]))
    a, b = found["lines"]
    assert 0 <= b["at"] < a["low"] < a["at"] < a["high"] <= 1000
    assert found["one"] is None and (a["tone"], b["tone"]) == ("shipped", "kept")
    assert drawn(Plot("", "x", [("a", [Dot(2.0, 1.9, 2.1, "2x")])]))["one"] is not None


def _bench(text: str) -> Bench:
    finding = Finding(
        "some",
        text,
        text,
        [Statement(text, "reproduced", text)],
        [Table(text, (text, "b"), [(text, "1")])],
        [Plot(text, "%", [(text, [Dot(0.9, 0.8, 1.0, text)])])],
        [text],
    )
    machine = {"machine": text, "python": "3", "commit": text}
    return Bench(QUICK, "2026-01-01T00:00:00Z", 1.0, machine, [finding], [], {}, {"facts": {"cpu_model": text}})


def test_page_escapes_whatever_texts_say() -> None:
    page = render(_bench("<script>alert(1)</script>"))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http://" not in page and "https://" not in page


def test_table_prints_every_statement_and_row() -> None:
    shown = "\n".join(lines(_bench("a text")))
    assert shown.count("a text") >= 5 and "1 reproduced" in shown


def test_markdown_keeps_a_table_whole() -> None:
    shown = markdown.text(_bench("one | two"))
    assert "| one \\| two | reproduced | one \\| two |" in shown


@pytest.mark.slow
def test_quick_run_tries_every_claim(project_root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "EDGEWRIGHT_STATE": str(tmp_path / "state"), "PYTHONPATH": str(project_root)}
    command = [sys.executable, "-m", "tests.bench.pruning", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bench = json.loads((tmp_path / "bench.json").read_bytes())
    assert bench["failed"] == {}
    assert {finding["name"] for finding in bench["findings"]} == set(all_claims())
    assert all(finding["statements"] for finding in bench["findings"] if finding["name"] != "text")
    assert "<svg" in (tmp_path / "bench.html").read_text()
