"""What Android's own programs print: `dumpsys thermalservice` (Android 10 and later) and `getprop`."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

from .source import decimal

# 0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown.
STATUS_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
# Absent sensors read -99.9.
_ABSENT_C = -50.0


def thermalservice(text: str) -> Dict[str, Any]:
    """{"status": 0 to 6 or None, "temperatures": {name: C}} of the block that the hardware tells now.

    The block "Cached temperatures" repeats the names with older values and isn't taken.
    """
    status = re.search(r"^[ \t]*Thermal Status: ([0-6])[ \t\r]*$", text, re.MULTILINE)
    temperatures: Dict[str, float] = {}
    _, found, block = text.partition("Current temperatures from HAL:")
    for line in block.splitlines()[1:] if found else []:
        match = re.search(r"Temperature\{mValue=([^,}]{1,40}),.{0,40}?mName=([^,}]{1,80})", line)
        if match is None:
            break
        value = decimal(match.group(1))
        if value is not None and value > _ABSENT_C:
            name = match.group(2)
            temperatures[name] = max(value, temperatures.get(name, value))
    return {"status": int(status.group(1)) if status else None, "temperatures": temperatures}


def getprop(text: str) -> Dict[str, str]:
    """Every property by name. A value may go over several lines."""
    found: Dict[str, str] = {}
    name: Optional[str] = None
    value: List[str] = []
    for line in text.splitlines():
        begun = re.match(r"\[([^\]]+)\]: \[(.*)$", line) if name is None else None
        if begun is not None:
            name, value = begun.group(1), []
            line = begun.group(2)
        if name is None:
            continue
        value.append(line)
        if line.endswith("]"):
            found[name] = "\n".join(value)[:-1]
            name = None
    return found


def phone(properties: Dict[str, str]) -> Optional[Dict[str, Any]]:
    """{"model", "release", "sdk", "abi"} of the properties, what is unknown None; None where it is no Android."""
    if "ro.build.version.sdk" not in properties and "ro.build.version.release" not in properties:
        return None
    sdk = properties.get("ro.build.version.sdk", "")
    return {
        "model": properties.get("ro.product.model") or None,
        "release": properties.get("ro.build.version.release") or None,
        "sdk": int(sdk) if re.fullmatch(r"[0-9]{1,4}", sdk) else None,
        "abi": properties.get("ro.product.cpu.abi") or None,
    }
