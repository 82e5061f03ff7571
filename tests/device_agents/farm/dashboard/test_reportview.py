"""A report's page: everything of the report is on it, and a comparison says what `./inv compare` said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from device_agents.farm.dashboard.reportview import report_view, versus
from device_agents.farm.dashboard.site import render_report
from device_agents.farm.page import template
from device_agents.farm.report import Report
from device_agents.farm.sequential import Looker
from tests.device_agents.farm.dashboard.read import Page, faults
from tests.device_agents.farm.ledger.made import canary_model, report, reports
from tests.device_agents.farm.sample import make_result

_PAGE = template("dashboard_report.html.j2")


def _read(one: Report) -> Page:
    return Page(render_report(_PAGE, one))


def _compared(factor: float, **fields: Any) -> Report:
    """B takes `factor` times as long as A."""
    how: dict[str, Any] = {"processes": 4, "rounds": 6, "samples": 20, "noise": 0.004, "between": 0.002}
    results = [make_result("A", 1.0, 0.93, **how), make_result("B", factor, 0.93, **how)]
    variants = [
        {"name": one["name"], "bundle": {"digest": one["bundle"], "path": "/b", "bytes": 1000}} for one in results
    ]
    made = report(purpose="compare", results=results, **fields)
    made.job["variants"] = variants
    return made


def test_page_of_a_report_shows_figures_blocks_state_and_a_way_to_the_samples() -> None:
    page = _read(report("some-id", shapes=2, canary_model=canary_model()))
    for said in ("trained", "int8", "2,400 MHz", "A made-up CPU", "6 blocks as a table", "valid measurement"):
        assert said in page.text
    assert "../samples/some-id.json.gz" in page.links
    assert faults(page) == []


def test_page_of_an_invalid_report_says_why_and_that_a_variant_failed() -> None:
    one = report(valid=False, problems=["the governor changed"])
    one.results[0]["error"] = "the worker was killed"
    text = _read(one).text
    assert "its figures can't be trusted" in text and "the governor changed" in text and "the worker was killed" in text


def test_page_of_a_stand_in_says_that_its_figures_are_not_the_boards() -> None:
    one = report()
    one.device["stand_in"] = True
    assert "These are not the figures of the board" in _read(one).text
    assert "These are not the figures" not in _read(report()).text


@pytest.mark.parametrize(("factor", "word"), [(1.2, "worse"), (0.8, "better"), (1.0, "same")])
def test_versus_says_what_the_rule_says(factor: float, word: str) -> None:
    one = _compared(factor)
    found = versus(one.to_json())
    looker = Looker()
    looker.look(one.results)
    assert found is not None and found["verdict"] == word
    assert found["lines"][0]["verdict"] == ("same" if word == "same" else looker.comparison)
    text = _read(one).text
    assert "B beside A" in text and "B is" in text


def test_versus_of_an_invalid_report_gives_no_verdict() -> None:
    found = versus(_compared(1.2, valid=False).to_json())
    assert found is not None and found["verdict"] is None
    assert "so nothing is said" in _read(_compared(1.2, valid=False)).text


def test_versus_without_sizes_leaves_the_size_out() -> None:
    one = _compared(1.2)
    one.job["variants"] = []
    found = versus(one.to_json())
    assert found is not None and "size" not in [line["metric"] for line in found["lines"]]


def test_versus_of_another_report_is_none() -> None:
    assert versus(report(shapes=2).to_json()) is None


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(reports())
def test_page_of_any_report_that_the_ledger_takes_is_made(one: Report) -> None:
    page = _read(one)
    assert f"../samples/{one.id}.json.gz" in page.links
    assert not page.all("script")


def test_page_of_a_strange_report_says_so_and_offers_it() -> None:
    one = report("odd", results=[{"name": "a", "blocks": [{"samples_ns": [1], "batch": "x", "process": {}}]}])
    one.results[0]["accuracy"] = {"value": "many"}
    page = _read(one)
    assert "A report of another shape" in page.text and "../samples/odd.json.gz" in page.links
    with pytest.raises((TypeError, ValueError, LookupError, AttributeError)):
        report_view(one.to_json())
