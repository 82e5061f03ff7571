"""What a phone is and how it is now, without a program of ours there: its files and its programs' output are fetched
and read by the agent's own probes, as a recorded tree of a board is."""

from __future__ import annotations

import re
import secrets
import tempfile
from pathlib import Path
from shlex import quote
from typing import Any

from device_agents.agent import probe
from device_agents.connect.shell import Shell

_CPU = "/sys/devices/system/cpu"
_FILES = (
    "/proc/cpuinfo /proc/meminfo /proc/stat /proc/loadavg /proc/uptime /proc/swaps /proc/pressure/cpu "
    "/proc/pressure/memory /proc/sys/kernel/random/boot_id /proc/device-tree/model "
    f"{_CPU}/online {_CPU}/possible {_CPU}/cpu[0-9]*/online {_CPU}/cpu[0-9]*/cpufreq/scaling_*_freq "
    f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor {_CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq "
    "/sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp"
)
_PROGRAMS = {"getprop": ("",), "dumpsys": ("thermalservice", "battery")}

Json = dict[str, Any]


def probe_phone(shell: Shell, root: str) -> tuple[Json, Json]:
    """(facts, state) with the keys of agent/probe.py; what the phone doesn't let us read is None.

    state gains "battery": {"level_percent", "temperature_c", "charging"} or None. Raises LinkLost, CommandTimedOut.
    """
    marker = f"@@{secrets.token_hex(8)}"
    asked = "".join(
        f"printf '\\n{marker} %s\\n' {quote(f'{name} {word}')}; {name} {word} </dev/null 2>/dev/null\n"
        for name, words in _PROGRAMS.items()
        for word in words
    )
    _, said = shell.run(
        f"printf '\\n{marker} uname\\n'; uname -m; uname -r\n"
        f"printf '\\n{marker} df\\n'; df -kP {quote(root)}\n{asked}"
        f'for one in {_FILES}; do [ -r "$one" ] && printf \'\\n{marker} %s\\n\' "$one" && cat "$one" 2>/dev/null; done'
        "; exit 0"
    )
    _, *sections = re.split(rf"\n{marker} ", said.decode(errors="replace"))
    texts = {name: text for name, _, text in (section.partition("\n") for section in sections)}
    machine, kernel = [*texts.pop("uname", "").split(), "", ""][:2]
    free = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%", texts.pop("df", ""))
    with tempfile.TemporaryDirectory(prefix="edgewright-phone-") as folder:
        _lay_out(Path(folder), texts)
        facts, state = probe.facts(folder), probe.state(folder, folder)
    # What the probes take from the machine that they run on, which is ours.
    facts |= {"machine": machine or None, "kernel": kernel or None, "python": None, "libc": "bionic"}
    facts |= {"bits": 64 if machine.endswith("64") else 32}
    facts.pop("pinning", None)
    state["disk_free_bytes"] = int(free.group(1)) * 1024 if free else None
    state["battery"] = battery(texts.get("dumpsys battery", ""))
    return facts, state


def _lay_out(folder: Path, texts: dict[str, str]) -> None:
    """The phone's files under `folder`, and in place of each program a script that says what the phone's said."""
    for name, text in texts.items():
        if name.startswith("/"):
            path = folder / name.removeprefix("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name, words in _PROGRAMS.items():
        said = folder / "usr" / "bin" / f"{name}.said"
        for word in words:
            text = texts.get(f"{name} {word}", "")
            if text.strip():
                said.mkdir(parents=True, exist_ok=True)
                (said / (word or "all")).write_text(text)
        if said.is_dir():
            script = said.with_name(name)
            script.write_text(f'#!/bin/sh\nexec cat {quote(str(said))}/"${{1:-all}}"\n')
            script.chmod(0o755)


def battery(text: str) -> Json | None:
    """`dumpsys battery`: per cent, degrees Celsius (told in tenths) and whether it is plugged in; None without it."""
    found = dict(re.findall(r"^\s*([A-Za-z ]+): (\S+)\s*$", text, re.MULTILINE))
    level, warm = found.get("level", ""), found.get("temperature", "")
    if not re.fullmatch(r"\d{1,3}", level):
        return None
    powered = [value for key, value in found.items() if key.endswith(" powered")]
    return {
        "level_percent": int(level),
        "temperature_c": int(warm) / 10 if re.fullmatch(r"-?\d{1,4}", warm) else None,
        "charging": "true" in powered if powered else None,
    }
