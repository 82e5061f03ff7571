"""`vcgencmd` line by line, and text that is none of its lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.agent.probes import raspberry

PMIC = """ VDD_CORE_A current(7)=0.75012000A
   3V3_SYS_A current(1)=0.12199130A
   0V8_SYS_A current(6)=0.5A
     ALONE_A current(9)=1.0A
   3V3_SYS_V volt(9)=3.3V
   0V8_SYS_V volt(14)=0.8V
  VDD_CORE_V volt(15)=0.89745940V
     EXT5V_V volt(24)=5.06788000V
      BATT_V volt(25)=0.00000000V
"""


@pytest.mark.parametrize(
    ("text", "bits"),
    [("throttled=0x50005\n", 0x50005), ("throttled=0x0", 0), ("throttled=0x", None), ("throttled=0xZZ", None)],
)
def test_throttled_gives_the_bits(text: str, bits: int | None) -> None:
    assert raspberry.throttled(text) == bits


def test_measure_lines_give_their_units() -> None:
    assert raspberry.temperature_c("temp=39.5'C\n") == 39.5
    assert raspberry.clock_khz("frequency(48)=1800457088\n") == 1800457
    assert raspberry.volts("volt=0.7200V\n") == 0.72


def test_clock_of_zero_is_none() -> None:
    assert raspberry.clock_khz("frequency(0)=0") is None


def test_rails_are_paired_by_name_not_by_number() -> None:
    found = raspberry.rails_mw(PMIC)
    assert found is not None
    assert set(found) == {"VDD_CORE", "3V3_SYS", "0V8_SYS"}
    assert found["VDD_CORE"] == pytest.approx(750.12 * 0.8974594)
    assert found["0V8_SYS"] == pytest.approx(400.0)
    assert raspberry.board_mw({"a": 1000.0, "b": 500.0}) == pytest.approx(1.1451 * 1500 + 587.9)


@pytest.mark.parametrize(
    "text",
    [
        'error=1 error_msg="Command not registered"',
        "VDD_CORE_A current(7)=1A",
        "VDD_CORE_A volt(7)=1A\nVDD_CORE_V current(7)=1V",
        "VDD_CORE_A current(7)=1.2.3A\nVDD_CORE_V volt(7)=1V",
    ],
)
def test_rails_without_both_readings_are_none(text: str) -> None:
    assert raspberry.rails_mw(text) is None


@given(st.text() | st.from_regex(r"(throttled=0x|temp=|frequency\(1\)=|volt=|X_A current\(1\)=)[0-9.A-Z']*"))
def test_any_text_gives_a_number_or_none(text: str) -> None:
    for parse in (raspberry.throttled, raspberry.temperature_c, raspberry.clock_khz, raspberry.volts):
        assert parse(text) is None or isinstance(parse(text), (int, float))
    raspberry.rails_mw(text)
