"""What `vcgencmd` prints on a Raspberry Pi (raspberrypi/documentation, graphics-utilities); None for anything else."""

from __future__ import annotations

import re
from typing import Dict, Optional

from .source import decimal

# The sum over the rails misses some branches of the board; this line was fitted by others against a meter at the plug.
_FIT_SLOPE = 1.1451
_FIT_MW = 587.9


def throttled(text: str) -> Optional[int]:
    """Bits of `get_throttled`: 0-3 under-voltage, capped, throttled, soft limit now; 16-19 the same since the start."""
    match = re.search(r"throttled=0x([0-9a-fA-F]{1,8})\b", text)
    return int(match.group(1), 16) if match else None


def temperature_c(text: str) -> Optional[float]:
    """`measure_temp`: temp=39.5'C."""
    match = re.search(r"temp=(-?[0-9.]{1,20})'C", text)
    return decimal(match.group(1)) if match else None


def clock_khz(text: str) -> Optional[int]:
    """`measure_clock arm`, in kHz: frequency(48)=1800457088 (Hz). Measured, where cpufreq tells what was asked for."""
    match = re.search(r"frequency\([0-9]{1,4}\)=([0-9]{1,12})\b", text)
    # 0 is what the firmware answers for a clock that it doesn't have.
    return (int(match.group(1)) // 1000 or None) if match else None


def volts(text: str) -> Optional[float]:
    """`measure_volts core`: volt=0.7200V."""
    match = re.search(r"volt=([0-9.]{1,20})V", text)
    return decimal(match.group(1)) if match else None


def rails_mw(text: str) -> Optional[Dict[str, float]]:
    """`pmic_read_adc` of a Raspberry Pi 5: mW of every rail that tells current and voltage.

    They belong together by their name; the numbers in brackets differ. None where no rail tells both (Pi 4: the
    program knows no such command).
    """
    amps: Dict[str, float] = {}
    supply: Dict[str, float] = {}
    for name, unit, kind, value in re.findall(
        r"\b(\w{1,40})_([AV])[ \t]+(current|volt)\([0-9]{1,4}\)=([0-9.]{1,20})\2", text
    ):
        found = decimal(value)
        if found is not None and (unit == "A") == (kind == "current"):
            (amps if unit == "A" else supply)[name] = found
    return {name: amps[name] * supply[name] * 1000 for name in amps if name in supply} or None


def board_mw(rails: Dict[str, float]) -> float:
    """The whole board's power in mW, by an empirical fit of the sum of its rails."""
    return _FIT_SLOPE * sum(rails.values()) + _FIT_MW
