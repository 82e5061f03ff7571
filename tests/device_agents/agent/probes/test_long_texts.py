"""No text, however long and however shaped, holds a parser up: garbage must not stall an agent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from device_agents.agent.probes import android, jetson, raspberry, tegrastats
parsers = [
    android.thermalservice, android.getprop, jetson.power_mode, jetson.power_modes, jetson.clocks_locked, jetson.l4t,
    raspberry.throttled, raspberry.temperature_c, raspberry.clock_khz, raspberry.volts, raspberry.rails_mw,
    tegrastats.parse,
]
pieces = [
    "a", "A@", "1", " ", "\\n", "_A", "[a]: [", "[a]: [b]\\n", "NV Power Mode: ", "X_A current(1)=", "cpu0: ",
    "cpu0:\\n", "VDD", "VDD_IN ", "< POWER_MODEL ID=", "\\n<", "Temperature{mValue=", "temp=", "frequency(", "volt=",
    "throttled=0x", "RAM 1/2MB CPU [", "CPU [", "RAM 1", "# R1", "GPU MinFreq=1", "Thermal Status: ",
]
for piece in pieces:
    for text in (piece * (200_000 // len(piece)), "Current temperatures from HAL:\\n" + piece * 20_000):
        for parse in parsers:
            parse(text)
"""


def test_long_texts_are_parsed_in_linear_time(project_root: Path) -> None:
    # In a process of its own, ended from outside: a regular expression that backtracks can't be interrupted. What is
    # linear takes about a second, what is quadratic takes many minutes.
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=project_root, timeout=60, check=True)
