"""One line of NVIDIA's `tegrastats` (L4T developer guide, appendix), in every form that boards and releases give it."""

from __future__ import annotations

import re
import select
import subprocess
import time
from typing import Any, Dict, Iterator, Optional

from .source import MOST_SECONDS, Garbled, program

# What the whole module takes: one of these rails measures it. Other boards (AGX) have none, and a sum of some rails
# would be a wrong total.
TOTALS = ("VDD_IN", "POM_5V_IN")
_ABSENT_C = -50.0


def total_mw(rails: Dict[str, float]) -> Optional[float]:
    """The module's power in mW, where one rail measures it."""
    return next((rails[name] for name in TOTALS if name in rails), None)


def parse(line: str) -> Optional[Dict[str, Any]]:
    """A line as {"temperatures": {name: C}, "rails_mw": {name: mW}, "gpu_percent", "cores_off"}; None where it is none.

    Sensors that are absent (-256C) and rails that aren't connected (NC) are left out.
    """
    if not re.search(r"\bRAM [0-9]{1,9}/[0-9]{1,9}MB\b", line) or not re.search(r"\bCPU \[", line):
        return None
    temperatures = {}
    for name, text in re.findall(r"([A-Za-z][A-Za-z0-9_.-]{0,40})@(-?[0-9]{1,4}(?:\.[0-9]{1,6})?)C\b", line):
        if float(text) > _ABSENT_C:
            temperatures[name] = float(text)
    rails = {}
    for name, value in re.findall(
        r"\b((?:POM|VDD|VIN|CPU|GPU|SOC|CV|SYS)\w{0,40}) ([0-9]{1,6})(?:mW)?/[0-9]{1,6}(?:mW)?\b", line
    ):
        rails[name] = float(value)
    gpu = re.search(r"\bGR3D(?:_FREQ)? ([0-9]{1,3})%", line)
    cores = re.search(r"\bCPU \[([^\[\]]*)\]", line)
    return {
        "temperatures": temperatures,
        "rails_mw": rails,
        "gpu_percent": int(gpu.group(1)) if gpu else None,
        "cores_off": cores.group(1).split(",").count("off") if cores else None,
    }


def start(sysroot: str, interval_ms: int) -> Optional[subprocess.Popen[bytes]]:
    """The program, printing a line per interval; None where the device has none. Raises Garbled."""
    path = program(sysroot, "tegrastats")
    if path is None:
        return None
    try:
        return subprocess.Popen(
            [path, "--interval", str(interval_ms)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
    except OSError as error:
        raise Garbled(str(error)) from error


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends it."""
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def lines(process: subprocess.Popen[bytes], silence_s: float = MOST_SECONDS) -> Iterator[str]:
    """Its lines as they come, until it ends or says nothing for `silence_s`."""
    stream = process.stdout
    assert stream is not None
    rest = b""
    while len(rest) < 65536:
        ready, _, _ = select.select([stream], [], [], silence_s)
        got = stream.read(4096) if ready else b""
        if not got:
            return
        *whole, rest = (rest + got).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")


def once(sysroot: str) -> Optional[Dict[str, Any]]:
    """The first good line; None where the device has no tegrastats. Raises Garbled where it prints no such line."""
    process = start(sysroot, 100)
    if process is None:
        return None
    deadline = time.monotonic() + MOST_SECONDS
    try:
        for line in lines(process):
            found = parse(line)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                break
    finally:
        stop(process)
    raise Garbled("tegrastats")
