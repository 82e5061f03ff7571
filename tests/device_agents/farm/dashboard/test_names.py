"""File names: nothing that a person or a device said can lead out of the folder, or onto another's page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.farm.dashboard.names import month_file, month_of, report_file, samples_file, series_file
from device_agents.farm.ledger.points import Key

KEY = Key("resnet8", "int8", "raspberry-pi", "pi-1", "litert", "int8")
_NAME = re.compile(r"[a-z]+/[A-Za-z0-9_][A-Za-z0-9_.+-]*\.(html|json\.gz)")


@given(st.text(max_size=250))
def test_names_of_any_text_are_safe_and_short(text: str) -> None:
    for name in (report_file(text), samples_file(text), series_file(Key(text, text, text, text, text, text))):
        assert _NAME.fullmatch(name)
        assert len(name.split("/")[1].encode()) < 250


@pytest.mark.parametrize("id", ["../../etc/passwd", "..", ".hidden", "a/b", "a\\b", "a\0b", "", "x" * 300, "caf\udce9"])
def test_report_file_of_an_unsafe_id_is_a_digest(id: str) -> None:
    assert re.fullmatch(r"reports/report-[0-9a-f]{32}\.html", report_file(id))


def test_report_file_of_a_real_id_is_that_id() -> None:
    id = "20261126T043308Z-resnet8-raspberry-pi-2f7afb"
    assert report_file(id) == f"reports/{id}.html"


def test_series_file_is_another_for_each_part_of_the_key() -> None:
    parts = list(vars(KEY).values())
    others = [Key(*[*parts[:place], parts[place] + "!", *parts[place + 1 :]]) for place in range(6)]
    assert len({series_file(key) for key in [KEY, *others]}) == 7


def test_month_of_takes_only_what_is_a_month() -> None:
    assert month_of("2026-11-26T04:33:08Z") == "2026-11"
    for text in ("", "2026-13-01", "../../x", "26-11-2026", "2026/11/26"):
        assert month_file(month_of(text)) == "months/undated.html"
