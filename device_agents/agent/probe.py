"""What this device is and how it is now. A missing source gives None, never 0; garbage gives None and a name."""

from __future__ import annotations

import os
import platform
import struct
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Set, TypeVar

from .probes import android, ina3221, jetson, linux, meters, raspberry, tegrastats
from .probes.source import Garbled, Programs, parsed, read_text

__all__ = ["facts", "read_text", "state"]

_T = TypeVar("_T")
# NVIDIA's older boards give their power chip a fixed 50 or 100 C.
_NOT_MEASURED = ("PMIC", "PMIC-Die")


def facts(sysroot: str = "/") -> Dict[str, Any]:
    """What doesn't change while the device runs."""
    take = _Taker()
    programs = Programs(sysroot)
    properties = take("getprop", lambda: parsed(programs.ask("getprop"), lambda text: android.getprop(text) or None))
    return {
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "cpu_model": linux.cpu_model(sysroot),
        "cores": linux.cores(sysroot),
        "cpu_max_khz": take("cpuinfo_max_freq", lambda: linux.khz(sysroot, "cpuinfo_max_freq")),
        "memory_bytes": take("meminfo", lambda: linux.meminfo(sysroot, "MemTotal")),
        "os": linux.os_name(sysroot),
        "kernel": platform.release(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "libc": "-".join(platform.libc_ver()).strip("-") or None,
        "board": linux.board(sysroot),
        "boot_id": linux.boot_id(sysroot),
        "identity": linux.identity(sysroot, (properties or {}).get("ro.serialno")),
        "pinning": _pinning(),
        "l4t": jetson.l4t(read_text(sysroot, "etc/nv_tegra_release") or ""),
        "power_modes": jetson.power_modes(read_text(sysroot, "etc/nvpmodel.conf") or ""),
        "android": android.phone(properties or {}),
    }


def _pinning() -> bool:
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return False
    return True


def state(sysroot: str = "/", folder: str = ".") -> Dict[str, Any]:
    """How the device is now; `folder` is the agent's, for the room left.

    Temperatures in C, power in mW, clocks in kHz. "sources": what told each of throttling, temperature, power and power
    mode. "garbled": sensors that are there and gave no reading.
    """
    take = _Taker()
    programs = Programs(sysroot)

    def asked(name: str, parse: Callable[[str], Optional[_T]], *arguments: str) -> Optional[_T]:
        return take(" ".join((name, *arguments)), lambda: parsed(programs.ask(name, *arguments), parse))

    line = take("tegrastats", lambda: tegrastats.once(sysroot)) or {}
    phone = asked("dumpsys", _told, "thermalservice") or {}
    mode = asked("nvpmodel", jetson.power_mode, "-q")
    throttled = asked("vcgencmd", raspberry.throttled, "get_throttled")
    found: Dict[str, Any] = {
        "governor": take("scaling_governor", lambda: linux.governor(sysroot)),
        "freq_khz": take("scaling_cur_freq", lambda: linux.khz(sysroot, "scaling_cur_freq")),
        "min_freq_khz": take("scaling_min_freq", lambda: linux.khz(sysroot, "scaling_min_freq")),
        "max_freq_khz": take("scaling_max_freq", lambda: linux.khz(sysroot, "scaling_max_freq")),
        "measured_khz": asked("vcgencmd", raspberry.clock_khz, "measure_clock", "arm"),
        "core_volts": asked("vcgencmd", raspberry.volts, "measure_volts", "core"),
        "throttled": throttled,
        "thermal_status": phone.get("status"),
        "power_mode": mode.name if mode else None,
        "power_mode_id": mode.id if mode else None,
        "clocks_locked": _clocks_locked(sysroot, programs),
        "gpu_percent": line.get("gpu_percent"),
        "load1": take("loadavg", lambda: linux.load1(sysroot)),
        "psi_cpu_avg10": take("pressure/cpu", lambda: linux.pressure(sysroot, "cpu")),
        "psi_memory_avg10": take("pressure/memory", lambda: linux.pressure(sysroot, "memory")),
        "memory_available_bytes": take("meminfo", lambda: linux.meminfo(sysroot, "MemAvailable")),
        "swap_used_bytes": take("meminfo", lambda: linux.swap_used_bytes(sysroot)),
        "disk_free_bytes": linux.disk_free_bytes(folder),
        "uptime_s": take("uptime", lambda: linux.uptime_s(sysroot)),
        # Another root's clock isn't known.
        "clock_set": linux.clock_set(time.time()) if sysroot == "/" else None,
        "boot_id": linux.boot_id(sysroot),
    }
    sources: Dict[str, List[str]] = {"throttling": [], "temperature": [], "power": [], "power_mode": []}
    sources["throttling"] += ["vcgencmd"] * (throttled is not None)
    sources["throttling"] += ["thermalservice"] * (phone.get("status") is not None)
    sources["power_mode"] += ["nvpmodel"] * (mode is not None)
    soc = asked("vcgencmd", raspberry.temperature_c, "measure_temp")
    found.update(_temperatures(sysroot, take, soc, phone, line, sources))
    found.update(_power(sysroot, take, programs, line, sources))
    found["sources"] = sources
    found["garbled"] = sorted(take.garbled)
    return found


def _told(text: str) -> Optional[Dict[str, Any]]:
    found = android.thermalservice(text)
    return found if found["status"] is not None or found["temperatures"] else None


def _clocks_locked(sysroot: str, programs: Programs) -> Optional[bool]:
    """Of NVIDIA's boards only. `jetson_clocks --show` needs root; what it does to the cores shows without."""
    try:
        text = programs.ask("jetson_clocks", "--show")
    except Garbled:
        text = ""
    if text is None:
        return None
    locked = jetson.clocks_locked(text)
    return linux.cores_held(sysroot) if locked is None else locked


def _temperatures(
    sysroot: str,
    take: _Taker,
    soc: Optional[float],
    phone: Dict[str, Any],
    line: Dict[str, Any],
    sources: Dict[str, List[str]],
) -> Dict[str, Any]:
    zones = linux.zones(sysroot, take.garbled.add)
    told = {
        "thermalservice": phone.get("temperatures") or {},
        "thermal-zone": zones,
        "vcgencmd": {} if soc is None else {"soc": soc},
        "tegrastats": line.get("temperatures") or {},
    }
    sources["temperature"] += sorted(name for name, temperatures in told.items() if temperatures)
    # A phone's zones hold currents and charge too, so its own service goes first; tegrastats repeats the zones.
    if told["thermalservice"]:
        names = ["thermalservice"]
    else:
        names = ["thermal-zone", "vcgencmd"] if zones or soc is not None else ["tegrastats"]
    found = {name: value for source in names for name, value in told[source].items()}
    hottest = max((value for name, value in found.items() if name not in _NOT_MEASURED), default=None)
    return {"temperature_c": hottest, "temperatures": found or None}


def _power(
    sysroot: str, take: _Taker, programs: Programs, line: Dict[str, Any], sources: Dict[str, List[str]]
) -> Dict[str, Any]:
    """The whole device's power where it is told, and every rail that is."""
    monitored = ina3221.rails_mw(sysroot, take.garbled.add)
    pmic = take("vcgencmd pmic_read_adc", lambda: meters.pmic_rails_mw(programs))
    printed = line.get("rails_mw")
    # In the order of trust. Rails that don't add up to the whole are shown and give no total.
    totals = [
        ("ina3221", tegrastats.total_mw(monitored or {})),
        ("pmic", raspberry.board_mw(pmic) if pmic else None),
        ("tegrastats", tegrastats.total_mw(printed or {})),
    ]
    for name, read in (("hwmon", meters.hwmon(sysroot)), ("battery", meters.battery(sysroot))):
        totals.append((name, take(name, read) if read else None))
    told = [(name, total) for name, total in totals if total is not None]
    sources["power"] += [name for name, _ in told]
    rails = monitored or pmic or printed
    return {
        "power_mw": round(told[0][1], 1) if told else None,
        "rails_mw": {name: round(value, 1) for name, value in rails.items()} if rails else None,
    }


class _Taker:
    """Takes readings; one that is garbled is None, and its name is kept."""

    def __init__(self) -> None:
        self.garbled: Set[str] = set()

    def __call__(self, name: str, read: Callable[[], Optional[_T]]) -> Optional[_T]:
        try:
            return read()
        except Garbled:
            self.garbled.add(name)
            return None
