"""The page of a search: everything is escaped, every candidate is in the picture, nothing needs a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.farm import searchpage

EVIL = "<script>alert(1)</script>"


def _entry(name: str, ms: float | None, value: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "runtime": "litert", "precision": "int8", "shrink": {}, "validation": value,
        "metric": {"name": "top-1", "value": value} if value is not None else None, "p50_ms": ms,
        "speedup": {"value": 2.0, "low": 1.9, "high": 2.1}, "bytes": 1000, "download": 900, "params": 10, "macs": 20,
        "trouble": None, **more,
    }  # fmt: skip


def _outcome(**more: Any) -> dict[str, Any]:
    base, small = _entry("trained", 1.0, 0.93), _entry("small", 0.4, 0.925)
    failed = _entry(EVIL, None, None, trouble=f"no: {EVIL}")
    return {
        "schema": "edgewright-shrink/1", "model": "m & <b>", "target": "host", "device": EVIL, "stand_in": True,
        "seed": 0, "constraints": {"max_drop": 0.01, "max_ms": 4.0, "max_kb": None, "floor": 0.9}, "budget_s": 60.0,
        "spent_s": 50.0, "met": True, "why": f"met: {EVIL}", "base": base, "front": [small, base],
        "candidates": [base, small, failed], "chosen": "small",
        "costs": {"entries": 12, "error": {"median": 0.1, "p90": 0.2}},
        "warnings": [EVIL], **more,
    }  # fmt: skip


def test_everything_on_the_page_is_escaped(tmp_path: Path) -> None:
    searchpage.write(tmp_path / "page.html", _outcome())
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert "m &amp; &lt;b&gt;" in text
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text


def test_every_candidate_with_figures_is_in_the_picture() -> None:
    chart = searchpage.scatter(_outcome())
    assert chart is not None
    assert [(point.tone, point.label) for point in chart.points] == [("kept", ""), ("shipped", "small")]
    slow, fast = chart.points
    assert slow.x > fast.x
    assert slow.y < fast.y  # more of the metric is higher up
    assert chart.floor is not None
    assert chart.floor > fast.y


def test_why_a_candidate_does_not_pay_stands_in_its_row() -> None:
    slow = _entry("slow", 2.0, 0.93, reason=f"slower: {EVIL}")
    text = searchpage.render(_outcome(candidates=[slow]))
    assert "<td>slower: &lt;script&gt;" in text


def test_a_search_without_figures_has_a_page_too() -> None:
    failed = _entry("failed", None, None, trouble="it failed")
    nothing = _outcome(candidates=[failed], front=[], chosen=None, met=False, base=failed)
    assert searchpage.scatter(nothing) is None
    assert "Nothing has both a time and a metric" in searchpage.render(nothing)
