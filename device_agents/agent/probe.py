"""What this device is and how it is now. Each source is one small function; a missing source gives None, never 0."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from typing import Any, Dict, List, Optional


def read_text(sysroot: str, path: str) -> Optional[str]:
    """A file under `sysroot` without its closing newline or NUL; None where it can't be read."""
    try:
        with open(os.path.join(sysroot, path), encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\x00\n ")
    except OSError:
        return None


def _number(text: Optional[str]) -> Optional[int]:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _meminfo(sysroot: str, key: str) -> Optional[int]:
    match = re.search(r"^%s:\s+(\d+) kB" % key, read_text(sysroot, "proc/meminfo") or "", re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def board(sysroot: str) -> Optional[str]:
    """The board's name as the device tree, or on PCs the firmware, gives it."""
    for path in ("proc/device-tree/model", "sys/firmware/devicetree/base/model", "sys/class/dmi/id/product_name"):
        text = read_text(sysroot, path)
        if text:
            return text
    return None


def cpu_model(sysroot: str) -> Optional[str]:
    """The processor's name; on ARM, where the kernel gives none, implementer and part number."""
    text = read_text(sysroot, "proc/cpuinfo") or ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    if named:
        return named.group(1).strip()
    codes = [re.search(r"^%s\s*:\s*(\S+)" % key, text, re.MULTILINE) for key in ("CPU implementer", "CPU part")]
    found = [code.group(1) for code in codes if code]
    return "ARM " + " ".join(found) if found else None


def os_name(sysroot: str) -> Optional[str]:
    """PRETTY_NAME of os-release."""
    text = read_text(sysroot, "etc/os-release") or read_text(sysroot, "usr/lib/os-release") or ""
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
    return match.group(1) if match else None


def cores(sysroot: str) -> Optional[int]:
    """Processors that /proc/cpuinfo lists."""
    count = len(re.findall(r"^processor\s*:", read_text(sysroot, "proc/cpuinfo") or "", re.MULTILINE))
    return count or (os.cpu_count() if sysroot == "/" else None)


def boot_id(sysroot: str) -> Optional[str]:
    """Changes at every start of the device."""
    return read_text(sysroot, "proc/sys/kernel/random/boot_id")


def facts(sysroot: str = "/") -> Dict[str, Any]:
    """What doesn't change while the device runs."""
    return {
        "machine": platform.machine(),
        "cpu_model": cpu_model(sysroot),
        "cores": cores(sysroot),
        "memory_bytes": _meminfo(sysroot, "MemTotal"),
        "os": os_name(sysroot),
        "kernel": platform.release(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "libc": "-".join(platform.libc_ver()).strip("-") or None,
        "board": board(sysroot),
        "boot_id": boot_id(sysroot),
    }


def _cpufreq(sysroot: str, name: str) -> List[str]:
    folder = os.path.join(sysroot, "sys/devices/system/cpu")
    try:
        names = sorted(entry for entry in os.listdir(folder) if re.fullmatch(r"cpu\d+", entry))
    except OSError:
        return []
    texts = [read_text(folder, "%s/cpufreq/%s" % (entry, name)) for entry in names]
    return [text for text in texts if text]


def governor(sysroot: str) -> Optional[str]:
    """The frequency governor; several are joined by a comma."""
    return ",".join(sorted(set(_cpufreq(sysroot, "scaling_governor")))) or None


def freq_khz(sysroot: str) -> Optional[int]:
    """The fastest core's clock now, in kHz."""
    found = [_number(text) for text in _cpufreq(sysroot, "scaling_cur_freq")]
    return max((value for value in found if value), default=None)


def temperature_c(sysroot: str) -> Optional[float]:
    """The hottest thermal zone in degrees Celsius; readings below -50 mean that the sensor is absent."""
    folder = os.path.join(sysroot, "sys/class/thermal")
    try:
        zones = [entry for entry in os.listdir(folder) if entry.startswith("thermal_zone")]
    except OSError:
        return None
    found = [_number(read_text(folder, zone + "/temp")) for zone in zones]
    return max((value / 1000 for value in found if value is not None and value > -50_000), default=None)


def throttled(sysroot: str) -> Optional[int]:
    """Bits of `vcgencmd get_throttled` on a Raspberry Pi: 0-3 now, 16-19 since the start; None elsewhere."""
    program = "vcgencmd" if sysroot == "/" else os.path.join(sysroot, "usr/bin/vcgencmd")
    try:
        done = subprocess.run([program, "get_throttled"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(rb"throttled=(0x[0-9a-fA-F]+)", done.stdout)
    return int(match.group(1), 16) if match else None


def load1(sysroot: str) -> Optional[float]:
    """Load average over one minute."""
    match = re.match(r"([0-9.]+) ", read_text(sysroot, "proc/loadavg") or "")
    return float(match.group(1)) if match else None


def psi_cpu_avg10(sysroot: str) -> Optional[float]:
    """Share of the last 10 s, in per cent, in which some task waited for a core."""
    match = re.search(r"^some avg10=([0-9.]+)", read_text(sysroot, "proc/pressure/cpu") or "", re.MULTILINE)
    return float(match.group(1)) if match else None


def disk_free_bytes(folder: str) -> Optional[int]:
    """What an ordinary user may still write on the file system of `folder`."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def state(sysroot: str = "/", folder: str = ".") -> Dict[str, Any]:
    """How the device is now; `folder` is the agent's, for the room left."""
    return {
        "governor": governor(sysroot),
        "freq_khz": freq_khz(sysroot),
        "temperature_c": temperature_c(sysroot),
        "throttled": throttled(sysroot),
        "load1": load1(sysroot),
        "psi_cpu_avg10": psi_cpu_avg10(sysroot),
        "memory_available_bytes": _meminfo(sysroot, "MemAvailable"),
        "disk_free_bytes": disk_free_bytes(folder),
        "boot_id": boot_id(sysroot),
    }
