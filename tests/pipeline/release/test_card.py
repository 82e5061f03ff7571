"""The model card: what it says, how loudly, and that no name in it is markup."""

from __future__ import annotations

import html.parser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.release import card
from pipeline.release.about import About
from pipeline.release.content import Content
from pipeline.release.evidence import Evidence
from pipeline.release.history import Made
from tests.pipeline.release.accepted import MEASURED
from tests.pipeline.release.contents import SOURCE, content, manifest

STEPS = [Made("train", "1" * 64, "93.1 % top-1 on validation", {}), Made("export", "2" * 64, "", {})]


def written(of: Content, steps: Sequence[Made] = STEPS) -> tuple[str, str]:
    """(Markdown, HTML)."""
    told = manifest(of)
    found = card.sections(of, told, SOURCE, steps, "Digits (public domain): 8x8 pictures.")
    return card.markdown(told, found), card.page(told, found)


def test_card_says_what_was_measured_and_how_it_was_made(tmp_path: Path) -> None:
    about = About(purpose="Reads digits.", limits=("No letters",), data_licence="CC0-1.0", weights_licence="MIT")
    for text in written(content(tmp_path, about=about)):
        for said in (
            *("Reads digits.", "Digits (public domain)", "CC0-1.0", "MIT", "No letters", "93.0 %", "1,000 samples"),
            *("on the device", "50.0 %", "93.1 % top-1 on validation", "kitchen-pi", "2026-01-01", "50 MiB", "2.25 mJ"),
            *("onnxruntime 1.31.1", "6.12.1", "valid"),
        ):
            assert said in text, said
        assert card.UNMEASURED not in text
    markdown, page = written(content(tmp_path / "again"))
    assert r"1.50 \[1.40 1.60\]" in markdown and "1.50 [1.40 1.60]" in page
    assert "| export | - | 2222222222222222 |" in markdown


def test_card_of_what_was_not_measured_says_so_first(tmp_path: Path) -> None:
    for evidence, said in (
        (Evidence((), True), "On no device."),
        (Evidence((replace(MEASURED, worth="standing in"),), True), "stood in for the real device"),
        (Evidence((replace(MEASURED, worth="emulated", p50_ms=None),), True), "no time of it means anything"),
        (Evidence((replace(MEASURED, worth="invalid", problems=("it throttled",)),), True), "kitchen-pi: it throttled"),
    ):
        markdown, page = written(content(tmp_path / said[:5], evidence=evidence))
        assert markdown.splitlines()[2] == f"> **{card.UNMEASURED}**"
        assert page.index(card.UNMEASURED) < page.index("What it does")
        assert said in markdown and said in page


def test_card_without_words_of_a_persons_says_that_too(tmp_path: Path) -> None:
    for text in written(content(tmp_path, classifies=False)):
        assert "the recipe does not say" in text and "The recipe does not say." in text
        assert "soft max" not in text


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not any(name.startswith("on") or name in ("src", "srcset") for name, _ in attrs)


def test_page_needs_no_network_and_takes_no_name_for_markup(tmp_path: Path) -> None:
    evil = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m|`"
    about = About(purpose=evil, limits=(evil,))
    markdown, page = written(content(tmp_path, labels=[evil] * 4, about=about), [Made("train", "1" * 64, evil, {})])
    tags = _Tags()
    tags.feed(page)
    assert not {"script", "img", "iframe", "object", "form"} & set(tags.found)
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page
    assert "http://" not in page and "https://" not in page
    assert "<script" not in markdown and "\x1b" not in markdown
    for line in markdown.splitlines():
        if line.startswith("| train"):
            assert line.replace(r"\|", "").count("|") == 4


@given(st.text(max_size=40))
def test_line_is_one_and_begins_nothing(text: str) -> None:
    found = card.line(text)
    assert "\n" not in found and found == found.strip() and "<" not in found
    assert not found.startswith(("-", "+", "#", ">", "1. ", "|", "=", "```", "*", "~~~"))


@pytest.mark.parametrize(
    ("text", "inside", "first"),
    [
        ("26.5 KiB", "26.5 KiB", "26.5 KiB"),
        ("- a", "- a", r"\- a"),
        ("12. a", "12. a", r"12\. a"),
        ("a | b", r"a \| b", r"a \| b"),
        ("divide_by _b_ *c*", r"divide_by \_b\_ \*c\*", r"divide_by \_b\_ \*c\*"),
        ("a > b < c", "a > b &lt; c", "a > b &lt; c"),
        ("> a", "> a", r"\> a"),
    ],
)
def test_escaping_leaves_figures_alone(text: str, inside: str, first: str) -> None:
    assert (card.escaped(text), card.line(text)) == (inside, first)


@pytest.mark.parametrize(
    ("devices", "on_host", "said"),
    [
        ((MEASURED,), None, "1,000 samples, the whole test part, taken on the device"),
        ((replace(MEASURED, worth="standing in"),), None, "on one that stood in for it"),
        (
            (),
            (0.85, 500),
            "500 samples, the whole test part, taken not on such a device, but on the machine that made it",
        ),
        ((), None, "100 samples, a part of the training data that was held back"),
    ],
)
def test_card_says_where_the_metric_was_taken_and_of_what(
    devices: tuple[Any, ...], on_host: tuple[float, int] | None, said: str, tmp_path: Path
) -> None:
    for text in written(content(tmp_path, evidence=Evidence(devices), on_host=on_host)):
        assert said in text
