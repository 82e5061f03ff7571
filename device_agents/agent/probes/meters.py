"""Meters of a whole device's power: a Raspberry Pi 5's PMIC, a board's one power monitor, a battery."""

from __future__ import annotations

import glob
import os
from functools import partial
from typing import Callable, Dict, Optional

from . import raspberry
from .source import Garbled, Programs, number, read_text

Read = Callable[[], Optional[float]]
# Chips that measure what flows to the whole board where there is one of them; a GPU's or a fan's own meter does not.
_METERS = ("power_meter", "ina219", "ina220", "ina226", "ina228", "ina230", "ina231", "ina238", "ina260")


def pmic_rails_mw(programs: Programs) -> Optional[Dict[str, float]]:
    """Rails of a Raspberry Pi 5 in mW; None elsewhere. Raises Garbled."""
    try:
        text = programs.ask("vcgencmd", "pmic_read_adc") or ""
    except Garbled:
        # Older boards don't know the command; whether vcgencmd works at all shows in get_throttled.
        return None
    rails = raspberry.rails_mw(text)
    if rails is None and "current(" in text:
        raise Garbled("pmic_read_adc")
    return rails


def pmic(sysroot: str) -> Read:
    """Reads the power of a Raspberry Pi 5 in mW."""
    programs = Programs(sysroot)

    def read() -> Optional[float]:
        rails = pmic_rails_mw(programs)
        return raspberry.board_mw(rails) if rails else None

    return read


def hwmon(sysroot: str) -> Optional[Read]:
    """The one power monitor of a board in hwmon's uW files; None where there is none, or several and no total."""
    found = []
    for folder in sorted(glob.glob(os.path.join(glob.escape(sysroot), "sys/class/hwmon/hwmon*"))):
        if read_text(folder, "name") in _METERS:
            names = ("power1_input", "power1_average")
            found += [os.path.join(folder, name) for name in names if os.path.exists(os.path.join(folder, name))][:1]
    return partial(_microwatts, found[0]) if len(found) == 1 else None


def _microwatts(path: str) -> Optional[float]:
    value = number(read_text("", path))
    if value is None:
        raise Garbled(path)
    return value / 1000


def battery(sysroot: str) -> Optional[Read]:
    """What a battery gives while nothing charges it, in mW; None where there is none or it is being charged."""
    for folder in sorted(glob.glob(os.path.join(glob.escape(sysroot), "sys/class/power_supply/*"))):
        if read_text(folder, "type") != "Battery" or read_text(folder, "scope") == "Device":
            continue
        if read_text(folder, "status") == "Discharging":
            return partial(_battery_mw, folder)
    return None


def _battery_mw(folder: str) -> Optional[float]:
    if read_text(folder, "status") != "Discharging":
        return None
    microwatts = number(read_text(folder, "power_now"))
    if microwatts is not None:
        return abs(microwatts) / 1000
    microamperes, microvolts = (number(read_text(folder, name)) for name in ("current_now", "voltage_now"))
    if microamperes is None or microvolts is None:
        return None
    # Some drivers give the current of a battery that is emptied as negative.
    return abs(microamperes) * microvolts / 1e9
