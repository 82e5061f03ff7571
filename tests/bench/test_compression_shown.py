"""The bench's tables, Markdown, page and JSON: whole, escaped, and the same after a round trip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.compression import aims, markdown, page, stages, table
from tests.bench.compression.__main__ import every, told
from tests.bench.compression.lines import Line
from tests.bench.compression.made import BASE, line, ours
from tests.bench.compression.run import JSON, SCHEMA, Bench, name_of
from tests.bench.compression.setting import quick


def _bench(text: str) -> Bench:
    lines = [
        Line(**{**BASE.__dict__, "label": text}),
        line("peer", label=text, error=text),
        line("two", label=text, faster=2.0, params=10, macs=20, lean=90, package=80, p50_ms=0.5, metric=0.92),
    ]
    stage = stages.Stages(text, 3, [text], [text, "b"]).to_json()
    reached = [one.to_json() for one in aims.reached("resnet20", [*lines, ours(0, 4.5, 0.925)])]
    machine = {"machine": text, "cpu": text, "commit": text}
    return Bench({**vars(quick()), "model": "resnet20"}, "2026-01-01", 3, machine, lines, reached, [stage], [text])


def test_page_escapes_whatever_texts_say() -> None:
    shown = page.render([_bench("<script>alert(1)</script>")])
    assert "<script" not in shown and "&lt;script&gt;" in shown
    assert "http://" not in shown and "https://" not in shown
    assert shown.count("<circle") == 4  # two plots of the two rows that were measured
    assert "short by 4.50x" in shown


def test_tables_show_sizes_losses_and_verdicts() -> None:
    shown = "\n".join(table.lines(_bench("a text")))
    assert "100 B (10.0x)" in shown and "92.00 (+1.00)" in shown and "2.00x [1.90 2.10]" in shown
    assert "short by 4.50x (50 %)" in shown and "the speeds are invalid: a text" in shown


def test_markdown_keeps_a_row_on_one_line() -> None:
    shown = markdown.text([_bench("one | two\nthree")])
    rows = [line for line in shown.splitlines() if line.startswith("| 2 |")]
    assert len(rows) == 1 and rows[0].count("one \\| two three") == 2 and rows[0].endswith(" |")


def test_bench_survives_its_json(tmp_path: Path) -> None:
    bench = _bench("a text")
    (tmp_path / "resnet20").mkdir()
    (tmp_path / "resnet20" / JSON).write_text(json.dumps({**bench.to_json(), "schema": SCHEMA}))
    for name, content in (("broken", "{"), ("other", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / JSON).write_text(content)
    (read,) = every(tmp_path)
    assert read.lines == bench.lines and markdown.text([read]) == markdown.text([bench])
    assert name_of("a/b.c.toml") == "b.c"


def test_document_keeps_what_other_models_runs_found(tmp_path: Path) -> None:
    doc = tmp_path / "compression.md"
    told(doc, _bench("an old text"))
    other = _bench("another model's")
    other.setting["model"] = "models/mobilenetv2.toml"
    assert [bench.model for bench in told(doc, other)] == ["mobilenetv2", "resnet20"]
    again = told(doc, _bench("a new text"))
    assert [bench.machine["cpu"] for bench in again] == ["another model's", "a new text"]


def test_axis_is_logarithmic_with_few_round_ticks() -> None:
    axis = page.log_axis([0.5, 50.0], "x")
    assert axis.share(5.0) == pytest.approx(0.5) and axis.share(1000.0) == 1.0
    assert [label for _, label in axis.ticks] == ["0.5x", "1x", "2x", "5x", "10x", "20x", "50x"]
    assert len(page.log_axis([1.0], "x").ticks) >= 1 and page.log_axis([], "x").low < page.log_axis([], "x").high


def test_plot_has_faster_to_the_right_and_better_below() -> None:
    found = page.plot("", "", [line("a", faster=2.0, metric=0.95), line("b", faster=4.0, metric=0.90)], page.speed_up)
    a, b = found["dots"]
    assert a["low"] < a["x"] < a["high"] and a["x"] < b["x"] and a["y"] > b["y"]
