"""Power rails of NVIDIA's boards from the INA3221 monitors in sysfs (kernel: hwmon/ina3221; JetPack 4: iio files)."""

from __future__ import annotations

import glob
import os
import re
from typing import Callable, Dict, List, Optional, Tuple

from .source import Garbled, number, read_text
from .tegrastats import TOTALS

_HWMON = ("ina3221/*/hwmon/hwmon*", "ina3221x/*/hwmon/hwmon*")
_IIO = ("ina3221x/*/iio:device*", "ina3221x/*/iio_device*", "ina3221/*/iio:device*")

Rail = Callable[[], float]


def _product(folder: str, voltage: str, current: str) -> Rail:
    def mw() -> float:
        millivolts = number(read_text(folder, voltage))
        milliamperes = number(read_text(folder, current))
        if millivolts is None or milliamperes is None:
            raise Garbled(os.path.join(folder, current))
        return millivolts * milliamperes / 1000

    return mw


def rails(sysroot: str) -> Dict[str, Rail]:
    """A function per rail, by the rail's name, that reads it now in mW and raises Garbled where it can't be read."""
    drivers = os.path.join(glob.escape(sysroot), "sys/bus/i2c/drivers")
    found: Dict[str, Rail] = {}
    for pattern, label, voltage, current in (
        (_HWMON, r"in([0-9])_label", "in%s_input", "curr%s_input"),
        (_IIO, r"rail_name_([0-9])", "in_voltage%s_input", "in_current%s_input"),
    ):
        for folder, name, channel in _channels(drivers, pattern, label):
            # Later channels of the same name don't come before the first; NC is a pin with nothing on it.
            if name not in found and name != "NC" and "sum of" not in name:
                found[name] = _product(folder, voltage % channel, current % channel)
    return found


def _channels(drivers: str, patterns: Tuple[str, ...], label: str) -> List[Tuple[str, str, str]]:
    channels = []
    for folder in sorted({path for pattern in patterns for path in glob.glob(os.path.join(drivers, pattern))}):
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            match = re.fullmatch(label, entry)
            name = read_text(folder, entry) if match else None
            if match and name:
                channels.append((folder, name, match.group(1)))
    return channels


def rails_mw(sysroot: str, garbled: Callable[[str], None]) -> Optional[Dict[str, float]]:
    """Every rail in mW that can be read; None where none can. `garbled` gets the names of those that can't."""
    found = {}
    for name, read in rails(sysroot).items():
        try:
            found[name] = read()
        except Garbled:
            garbled("ina3221 " + name)
    return found or None


def total(sysroot: str) -> Optional[Rail]:
    """Reads the module's power in mW; None where no rail measures it (AGX boards)."""
    known = rails(sysroot)
    return next((known[name] for name in TOTALS if name in known), None)
