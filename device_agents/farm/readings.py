"""A device's facts and state as people read them: labels, units, and no row for what no device of its kind tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_agents.farm.figures import show_bytes, show_seconds

Json = Mapping[str, Any]

_LABELS = {
    "governor": "Frequency governor",
    "freq_khz": "Clock",
    "temperature_c": "Temperature",
    "throttled": "Throttling bits",
    "load1": "Load, one minute",
    "psi_cpu_avg10": "Tasks waiting for a core, 10 s",
    "memory_available_bytes": "Memory available",
    "disk_free_bytes": "Disk free",
    "machine": "Machine",
    "cpu_model": "CPU",
    "cores": "Cores",
    "memory_bytes": "Memory",
    "os": "Operating system",
    "kernel": "Kernel",
    "python": "Python",
    "libc": "C library",
    "board": "Board",
    "boot_id": "Boot",
    "temperatures": "Temperatures",
    "thermal_status": "Thermal status",
    "power_mw": "Power",
    "rails_mw": "Power by rail",
    "power_mode": "Power mode",
    "clocks_locked": "Clocks locked",
    "min_freq_khz": "Lowest clock",
    "max_freq_khz": "Highest clock",
    "measured_khz": "Clock as measured",
    "cpu_max_khz": "Highest clock of the chip",
    "core_volts": "Core voltage",
    "gpu_percent": "GPU in use",
    "swap_used_bytes": "Swap in use",
    "psi_memory_avg10": "Tasks waiting for memory, 10 s",
    "uptime_s": "Uptime",
    "clock_set": "Clock set",
    "sources": "Told by",
    "garbled": "Unreadable",
    "bits": "Bits",
    "pinning": "Pinning possible",
    "l4t": "Jetson Linux",
    "android": "Android",
    "power_modes": "Power modes",
}
# Shown also where a device doesn't say: what is not known of them is worth knowing.
_EXPECTED = {"governor", "freq_khz", "temperature_c", "throttled", "load1"}


def shown_facts(facts: Json) -> list[tuple[str, str]]:
    """(label, value) of what doesn't change while a device runs."""
    return [(_LABELS.get(key, key), shown_value(key, value)) for key, value in facts.items() if value is not None]


def shown_state(before: Json, after: Json) -> list[tuple[str, str, str]]:
    """(label, value before, value after) of a job."""
    # The boot is among the facts; a change of it is a problem of its own.
    keys = [key for key in dict.fromkeys([*before, *after]) if key != "boot_id"]
    return [
        (_LABELS.get(key, key), shown_value(key, before.get(key)), shown_value(key, after.get(key)))
        for key in keys
        if key in _EXPECTED or not _nothing(before.get(key)) or not _nothing(after.get(key))
    ]


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping | list | tuple | str) and not value)


def shown_value(key: str, value: Any) -> str:
    """One reading for people; a source that gave nothing is "not known", never 0."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(key, value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(key: str, value: float) -> str:
    if key.endswith("_bytes"):
        return show_bytes(value)
    if key.endswith("_khz"):
        return f"{value / 1000:,.0f} MHz"
    if key == "temperature_c":
        return f"{value:.1f} \N{DEGREE SIGN}C"
    if key == "throttled":
        return f"{int(value):#x}" if value else "none"
    if key.startswith("psi_") or key.endswith("_percent"):
        return f"{value} %"
    if key == "power_mw":
        return f"{value:,.0f} mW"
    if key == "uptime_s":
        return show_seconds(value)
    return str(value)
