"""Markdown for a CI's job summary."""

from __future__ import annotations

import pytest

from device_agents.farm.night.out.markdown import MOST_ROWS, escaped, markdown
from device_agents.farm.night.record import DeviceNight
from tests.device_agents.farm.night.out.nights import HOSTILE, hostile, night, troubled


def _rows(text: str, title: str) -> list[str]:
    """The rows of a table, without its head."""
    table = text.partition(f"### {title}\n")[2].partition("\n### ")[0]
    return [line for line in table.splitlines() if line.startswith("| ")][2:]


def test_quiet_night_says_so_and_shows_the_farm_alone() -> None:
    text = markdown(night())
    assert "**Same or faster: 2 jobs measured on 2 devices; nothing got worse.**" in text
    assert "Regressions" not in text and "Not measured" not in text
    assert len(_rows(text, "Farm")) == 2


def test_regressions_and_what_was_not_measured_have_tables() -> None:
    text = markdown(troubled())
    (row,) = _rows(text, "Regressions")
    assert "| net | int8&#64;litert | pi-1 | latency | +25.0 % [+20.0 % +30.0 %] |" in row
    assert [row.split(" | ")[0] for row in _rows(text, "Not measured")] == ["| build", "| failed", "| device"]
    assert "./inv devices.doctor pi-2" in text


def test_hostile_names_stay_in_their_cells() -> None:
    text = markdown(hostile())
    assert all(row.count("|") == 7 for row in [*_rows(text, "Regressions"), *_rows(text, "Farm")])
    assert all(row.count("|") == 6 for row in _rows(text, "Not measured"))
    for word in ("<script", "](java", "`c`", "@all", "\n# head", "\x1b", "\x00"):
        assert word not in text
    text.encode("utf-8")


def test_escaped_text_can_neither_link_nor_mention() -> None:
    assert escaped("http://x www.x.org @all #1") == "http&#58;//x www&#46;x.org &#64;all &#35;1"
    assert "\n" not in escaped(HOSTILE)


def test_plain_words_and_figures_stay_readable() -> None:
    assert escaped("5.1 % slower, 1.05x (net of it)") == "5.1 % slower, 1.05x &#40;net of it&#41;"


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://ci.example/run/7?x=1", True),
        ("javascript:alert(1)", False),
        ("https://x) [y](https://z", False),
        ("https://x\n# head", False),
    ],
)
def test_link_is_shown_only_where_it_is_an_address(link: str, shown: bool) -> None:
    assert ("[Dashboard](" in markdown(night(), link)) is shown


def test_large_farm_is_cut_and_says_how_much_is_left_out() -> None:
    devices = tuple(DeviceNight(name=f"d{number}", target="t") for number in range(MOST_ROWS + 7))
    text = markdown(night(devices=devices))
    assert len(_rows(text, "Farm")) == MOST_ROWS
    assert "and 7 more" in text
