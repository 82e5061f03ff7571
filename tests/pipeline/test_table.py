"""The printed table: every figure, no colour where there is no terminal, and no escape code from a name ever."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipeline.table import lines, show, step_line
from tests.device_agents.farm.sample import SHAPES, make_outcome, make_report


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return make_outcome(make_report())


@pytest.fixture
def outcome(whole: dict[str, Any]) -> dict[str, Any]:
    return {**whole, "variants": [dict(v) for v in whole["variants"]]}


def _printed(outcome: dict[str, Any], **console: Any) -> str:
    out = io.StringIO()
    show(outcome, Console(file=out, **console))
    return out.getvalue()


def test_show_without_a_terminal_is_plain_aligned_and_within_120_columns(outcome: dict[str, Any]) -> None:
    text = _printed(outcome)
    assert "\x1b" not in text
    rows = text.splitlines()
    assert max(map(len, rows)) <= 120
    head = rows[0].split()
    assert head == [
        "variant",
        "size",
        "download",
        "params",
        "MACs",
        "top-1",
        "p50",
        "ms",
        "p90",
        "ms",
        "speed-up",
        "verdict",
    ]
    edge = rows[0].index("verdict")
    for row, variant in zip(rows[1:], outcome["variants"], strict=False):
        assert row[2:].startswith(variant["name"])
        assert row[edge:] == variant["verdict"]


def test_show_of_an_outcome_without_downloads_has_no_such_column(outcome: dict[str, Any]) -> None:
    for variant in outcome["variants"]:
        del variant["download"]
    head = lines(outcome)[0].split()
    assert "download" not in head and "params" in head


def test_show_says_what_zeros_gained() -> None:
    shapes = [SHAPES[0], ("sparse", "trained", "float32", 1_160_475, 272_186, 8_600_000, 0.211, 0.9311, ())]
    made = make_outcome(make_report(shapes, noise=0.002, between=0.001), shapes)
    text = " ".join(" ".join(lines(made)).split())
    assert "sparse: 90 % zeros, but this runtime computes them all: no faster (" in text
    assert "the download is 4.5x smaller" in text
    assert "227 KiB" in text


def test_show_gives_sizes_counts_and_ratios_for_people(outcome: dict[str, Any]) -> None:
    row = next(line for line in lines(outcome) if line.startswith("  pruned + int8 "))
    ratio = outcome["variants"][4]["speedup"]
    for figure in ("86.3 KiB", "77.8 k", "2.59 M", "92.7 %", f"{ratio['value']:.2f}x [{ratio['low']:.2f}"):
        assert figure in row


def test_show_on_a_terminal_colours_the_shipped_row_and_holds_the_same_text(outcome: dict[str, Any]) -> None:
    coloured = _printed(outcome, force_terminal=True, width=120, color_system="standard")
    assert "\x1b[1;32m  pruned + int8" in coloured
    bare = io.StringIO()
    show(outcome, Console(file=bare, force_terminal=True, width=120, color_system=None))
    assert bare.getvalue() == _printed(outcome)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_show_on_a_narrow_terminal_keeps_name_time_and_verdict(outcome: dict[str, Any], width: int) -> None:
    rows = _printed(outcome, force_terminal=True, width=width, color_system=None).splitlines()
    assert "p50 ms" in rows[0] and "verdict" in rows[0] and "params" not in rows[0]
    if width >= 80:
        assert max(map(len, rows)) <= width


def test_show_says_why_each_rejected_variant_was_and_why_the_shipped_one_is(outcome: dict[str, Any]) -> None:
    text = " ".join(_printed(outcome).split())
    assert "filters: slower:" in text
    assert "tiny: top-1 is 90.8 %, the floor 92.0 %" in text
    assert "pruned + int8: " in text
    assert "pruned: " not in text.replace("int8: ", "")


def test_show_says_that_a_stand_in_is_not_the_board(outcome: dict[str, Any]) -> None:
    said = "this machine, standing in for a raspberry-pi: its figures are not the board's"
    assert said in _printed(outcome)
    assert "standing in" not in _printed({**outcome, "stand_in": False, "device": "desk-pi"})


def test_show_is_loud_about_an_invalid_report(outcome: dict[str, Any]) -> None:
    broken = {**outcome, "valid": False, "problems": ["the governor changed", "throttled"]}
    assert "INVALID: these figures can't be trusted: the governor changed; throttled" in _printed(broken)
    assert "INVALID" not in _printed(outcome)
    loud = _printed(broken, force_terminal=True, width=120, color_system="standard")
    assert "\x1b[1;37;41m  INVALID" in loud


def test_show_says_when_nothing_is_shipped(outcome: dict[str, Any]) -> None:
    assert "nothing is shipped" in _printed({**outcome, "shipped": None, "bundle": None})


def test_show_marks_a_metric_that_was_not_taken_on_the_device(outcome: dict[str, Any]) -> None:
    outcome["variants"][0]["metric"] = {"name": "top-1", "value": 0.5, "on_device": False}
    text = _printed(outcome)
    assert "50.0 %*" in text and "* taken on the host, not on the device" in text


def test_show_survives_missing_figures(outcome: dict[str, Any]) -> None:
    shapes = [SHAPES[0], ("lost", "trained", "int8", 5, 5, 5, None, None, ())]
    failed = make_outcome(make_report(shapes), shapes)
    row = next(line for line in lines(failed) if line.startswith("  lost "))
    assert row.split()[-5:] == ["-", "-", "-", "-", "failed"]
    bare = {"name": "x", "verdict": "failed", "reason": ""}
    only = {"variants": [bare], "device": "d", "target": "t", "valid": True, "shipped": None}
    assert any(line.startswith("  x ") for line in lines(only))


def test_show_lets_no_escape_code_or_markup_of_a_name_through(outcome: dict[str, Any]) -> None:
    outcome["variants"][1]["name"] = "\x1b[2J\x1b]0;owned\x07[bold]\nnext\u202e"
    outcome["variants"][2]["reason"] = "line\r\nfeed \x9b31m"
    outcome["device"] = "pi\x1b[8m"
    for console in ({}, {"force_terminal": True, "width": 120, "color_system": None}):
        text = _printed(outcome, **console)
        assert not any(c in text for c in "\x1b\x07\r\x9b\u202e")
        assert "[bold]" in text


def test_show_cuts_a_long_name_and_keeps_the_figures(outcome: dict[str, Any]) -> None:
    outcome["variants"][1]["name"] = "n" * 300
    rows = lines(outcome)
    assert len(rows[2]) <= 120 and ".." in rows[2]
    assert rows[2].endswith(outcome["variants"][1]["verdict"])


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ({"label": "train", "cached": True, "summary": "92.2 % top-1"}, "  train      cached     92.2 % top-1"),
        (
            {"step": "prune", "seconds": 24.3, "summary": "taylor, 61 % of the MACs left out"},
            "  prune      24 s       taylor, 61 % of the MACs left out",
        ),
        ({"label": "distil", "seconds": 185.0}, "  distil     3 min 05 s"),
        ({"label": "a\x1b[1mb", "seconds": 0.04}, "  a?[1mb     0.0 s"),
    ],
)
def test_step_line_names_the_step_its_time_and_its_figure(step: dict[str, Any], line: str) -> None:
    assert step_line(step) == line


def test_runtimes_are_told_apart_under_the_table(outcome: dict[str, Any]) -> None:
    for variant in outcome["variants"]:
        variant.pop("runtime", None)
    assert not any(line.startswith("  runtime") for line in lines(outcome))  # an outcome of an earlier version
    for variant in outcome["variants"]:
        variant["runtime"] = "litert"
    assert "  runtime  litert" in lines(outcome)
    outcome["variants"][-1]["runtime"] = "onnxruntime"
    assert "  runtime  litert, where a name has no @" in lines(outcome)


def test_emulated_device_is_told_by_its_answers(outcome: dict[str, Any]) -> None:
    outcome |= {"emulated": True, "shipped": None}
    for place, variant in enumerate(outcome["variants"]):
        variant["parity"] = {"same": place > 0}
    text = " ".join("\n".join(lines(outcome)).split())
    count = len(outcome["variants"])
    assert f"{count - 1} of {count} variants give the answers there that they give here" in text
    assert "its times mean nothing" in text and "nothing is shipped: no variant" not in text
