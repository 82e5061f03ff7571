"""What the kernel tells in /proc and /sys (its documentation: cpufreq, thermal, PSI). Missing gives None, never 0."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Callable, Dict, List, Optional

from .source import Garbled, decimal, number, parsed, read_text

# NVIDIA's boards have absent sensors at -256 C; beyond these bounds it is no chip that still answers.
_ABSENT_C = -50.0
_MOST_C = 200.0
# A clock that was never set stands at 1970 or at the day on which the image was built.
_OLDEST_CLOCK = 1704067200  # 2024-01-01


def board(sysroot: str) -> Optional[str]:
    """The board's name as the device tree, or on PCs the firmware, gives it."""
    for path in ("proc/device-tree/model", "sys/firmware/devicetree/base/model", "sys/class/dmi/id/product_name"):
        text = read_text(sysroot, path)
        if text:
            return text
    return None


def identity(sysroot: str, serial: Optional[str] = None) -> Optional[str]:
    """16 hex digits that tell this board from another: of its serial number, else of its installation's id.

    A digest, since a report travels further than a serial number should. serial: what else knows it (Android).
    """
    paths = ("proc/device-tree/serial-number", "sys/class/dmi/id/product_uuid", "etc/machine-id")
    told = serial or next((text for text in (read_text(sysroot, path) for path in paths) if text), None)
    return hashlib.sha256(told.encode()).hexdigest()[:16] if told else None


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
    return read_text(sysroot, "proc/sys/kernel/random/boot_id") or None


def meminfo(sysroot: str, key: str) -> Optional[int]:
    """One line of /proc/meminfo in bytes. Raises Garbled where the file is there and holds no such lines."""
    text = read_text(sysroot, "proc/meminfo")
    if text is not None and not re.search(r"^\w{1,40}:[ \t]+[0-9]{1,15} kB", text, re.MULTILINE):
        raise Garbled("meminfo")
    match = re.search(r"^%s:[ \t]+([0-9]{1,15}) kB" % key, text or "", re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def swap_used_bytes(sysroot: str) -> Optional[int]:
    """Memory that was moved out, to a disk or to zram. Raises Garbled."""
    total, free = meminfo(sysroot, "SwapTotal"), meminfo(sysroot, "SwapFree")
    return None if total is None or free is None else max(0, total - free)


def cpufreq(sysroot: str, name: str) -> List[str]:
    """The file `name` of every core's cpufreq folder, where there is one."""
    folder = os.path.join(sysroot, "sys/devices/system/cpu")
    try:
        names = sorted(entry for entry in os.listdir(folder) if re.fullmatch(r"cpu[0-9]+", entry))
    except OSError:
        return []
    texts = [read_text(folder, "%s/cpufreq/%s" % (entry, name)) for entry in names]
    return [text for text in texts if text]


def governor(sysroot: str) -> Optional[str]:
    """The frequency governor; several are joined by a comma. Raises Garbled."""
    found = sorted(set(cpufreq(sysroot, "scaling_governor")))
    if any(not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text) for text in found):
        raise Garbled("scaling_governor")
    return ",".join(found) or None


def khz(sysroot: str, name: str) -> Optional[int]:
    """The highest of all cores in one cpufreq file, such as scaling_cur_freq. Raises Garbled where none is a number."""
    texts = cpufreq(sysroot, name)
    found = [value for value in map(number, texts) if value]
    if texts and not found:
        raise Garbled(name)
    return max(found, default=None)


def cores_held(sysroot: str) -> Optional[bool]:
    """Whether every core's lowest clock is its highest one, as `jetson_clocks` leaves it."""
    lowest, highest = (
        [number(text) for text in cpufreq(sysroot, name)] for name in ("scaling_min_freq", "scaling_max_freq")
    )
    if not lowest or len(lowest) != len(highest) or None in lowest + highest:
        return None
    return lowest == highest


def zones(sysroot: str, garbled: Callable[[str], None]) -> Dict[str, float]:
    """Thermal zones in degrees Celsius by their type, of equal names the hottest; absent sensors are left out.

    A zone that can't be read is one whose part of the chip is switched off; one that holds no temperature is garbled.
    """
    folder = os.path.join(sysroot, "sys/class/thermal")
    try:
        names = sorted(entry for entry in os.listdir(folder) if entry.startswith("thermal_zone"))
    except OSError:
        return {}
    found: Dict[str, float] = {}
    for zone in names:
        text = read_text(folder, zone + "/temp")
        value = number(text)
        if text is None or (value is not None and value / 1000 <= _ABSENT_C):
            continue
        if value is None or value / 1000 > _MOST_C:
            garbled(zone)
            continue
        name = read_text(folder, zone + "/type") or zone
        found[name] = max(value / 1000, found.get(name, _ABSENT_C))
    return found


def load1(sysroot: str) -> Optional[float]:
    """Load average over one minute. Raises Garbled."""
    return parsed(read_text(sysroot, "proc/loadavg"), lambda text: decimal(text.split(" ")[0]))


def pressure(sysroot: str, what: str) -> Optional[float]:
    """PSI: share of the last 10 s, in per cent, in which some task waited for `what` (cpu, memory). Raises Garbled."""

    def avg10(text: str) -> Optional[float]:
        match = re.search(r"^some avg10=([0-9.]+)", text, re.MULTILINE)
        return decimal(match.group(1)) if match else None

    return parsed(read_text(sysroot, "proc/pressure/" + what), avg10)


def uptime_s(sysroot: str) -> Optional[float]:
    """Seconds since the start. Raises Garbled."""
    return parsed(read_text(sysroot, "proc/uptime"), lambda text: decimal(text.split(" ")[0]))


def clock_set(now: float) -> bool:
    """Whether a clock that says `now` (seconds of 1970) can have been set."""
    return now >= _OLDEST_CLOCK


def disk_free_bytes(folder: str) -> Optional[int]:
    """What an ordinary user may still write on the file system of `folder`."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
