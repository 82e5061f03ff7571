"""A phone's cores over its shell: which ones to measure on, pinning to them, and how busy others keep them."""

from __future__ import annotations

import re

from device_agents.connect.shell import Shell

Ticks = dict[int, tuple[int, int]]
"""Per core (ticks in use, ticks in all) since boot, 10 ms each."""


def ticks(text: str) -> Ticks:
    """Of the text of /proc/stat; empty where it couldn't be read."""
    found = {}
    for core, line in re.findall(r"^cpu(\d+)((?: \d+){8})", text, re.MULTILINE):
        # user nice system idle iowait irq softirq steal; guest time is inside user already.
        parts = [int(part) for part in line.split()]
        found[int(core)] = (sum(parts) - sum(parts[3:5]), sum(parts))
    return found


def spent(before: Ticks, after: Ticks, cpus: list[int]) -> tuple[int, int] | None:
    """(ticks in use, ticks in all) of `cpus` between two readings; None where a core is missing from either."""
    if not cpus or not all(cpu in before and cpu in after for cpu in cpus):
        return None
    return (
        sum(after[cpu][0] - before[cpu][0] for cpu in cpus),
        sum(after[cpu][1] - before[cpu][1] for cpu in cpus),
    )


def cpu_ns(text: str) -> int | None:
    """What a shell's `times` says of the commands that it ran, in nanoseconds; None where it can't be understood."""
    found = re.findall(r"(\d+)m([0-9]+(?:\.[0-9]+)?)s", text)
    if len(found) != 4:
        return None
    return round(sum(int(minutes) * 60 + float(seconds) for minutes, seconds in found[2:]) * 1e9)


def choose(shell: Shell, count: int) -> list[int]:
    """The `count` idlest of the fastest kind of core that the shell may use; empty where the phone doesn't say."""
    folder = "/sys/devices/system/cpu"
    _, said = shell.run(
        "cat /proc/stat 2>/dev/null; sleep 0.3; echo @then; cat /proc/stat 2>/dev/null; echo @files\n"
        "cat /proc/self/status 2>/dev/null\n"
        f"for one in {folder}/cpu[0-9]*; do\n"
        '  [ -r "$one/cpufreq/cpuinfo_max_freq" ] && echo "@khz ${one##*/cpu} $(cat "$one/cpufreq/cpuinfo_max_freq")"\n'
        "done; exit 0"
    )
    first, _, rest = said.decode(errors="replace").partition("@then\n")
    second, _, files = rest.partition("@files\n")
    before, after = ticks(first), ticks(second)
    khz = {int(core): int(value) for core, value in re.findall(r"^@khz (\d+) (\d+)$", files, re.MULTILINE)}
    return idlest(count, before, after, khz, listed(files) or set(after) or set(khz))


def idlest(count: int, before: Ticks, after: Ticks, khz: dict[int, int], allowed: set[int]) -> list[int]:
    """Of the cores that are allowed, those with the highest clock first, and the idlest of them."""

    def key(cpu: int) -> tuple[int, int, int]:
        busy = spent(before, after, [cpu])
        # The last core first among equals: interrupts are mostly served by the first.
        return -khz.get(cpu, 0), busy[0] if busy else 0, -cpu

    return sorted(sorted(allowed, key=key)[: max(1, count)])


def listed(status: str) -> set[int]:
    """Cores of Cpus_allowed_list in the text of /proc/self/status, such as 0-3,6; empty where it isn't told."""
    found = re.search(r"^Cpus_allowed_list:\s*([\d,-]+)$", status, re.MULTILINE)
    cores: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", found.group(1) if found else ""):
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def pin(shell: Shell, cpus: list[int]) -> bool:
    """Pins the shell, and with it what it starts from now on; False where that isn't possible."""
    if not cpus:
        return False
    mask = sum(1 << cpu for cpu in cpus)
    return shell.run(f"taskset -p {mask:x} $$", here=True)[0] == 0
