"""NVIDIA's own programs and files: power mode (`nvpmodel`), clocks (`jetson_clocks --show`), release (L4T)."""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Optional


class PowerMode(NamedTuple):
    """A power mode. id: None where the program printed only its name."""

    name: str
    id: Optional[int]


def power_mode(text: str) -> Optional[PowerMode]:
    """`nvpmodel -q`, also --verbose: "NV Power Mode: 25W" and the mode's number on the next line."""
    match = re.search(r"NV Power Mode: ?([A-Za-z0-9_.()|-]{1,64})[^\n]*(?:\n[ \t]*([0-9]{1,3})[ \t\r]*(?:\n|$))?", text)
    if match is None:
        return None
    return PowerMode(match.group(1), int(match.group(2)) if match.group(2) else None)


def power_modes(text: str) -> Optional[Dict[str, int]]:
    """Modes of /etc/nvpmodel.conf, name to number: < POWER_MODEL ID=0 NAME=MAXN >."""
    found = re.findall(
        r"^[ \t]*<[ \t]*POWER_MODEL[ \t]+ID=([0-9]{1,3})[ \t]+NAME=([^\s>]{1,64})[ \t]*>", text, re.MULTILINE
    )
    return {name: int(number) for number, name in found} or None


def clocks_locked(text: str) -> Optional[bool]:
    """`jetson_clocks --show`: whether every core that is on, and the GPU, has its lowest clock at its highest."""
    found = [
        (lowest, highest)
        for online, lowest, highest in re.findall(
            r"^(?:cpu[0-9]{1,4}:|GPU)(?:[ \t]+Online=([01]))?(?:[ \t]+Governor=\S{1,40})?"
            r"[ \t]+MinFreq=([0-9]{1,15})[ \t]+MaxFreq=([0-9]{1,15})\b",
            text,
            re.MULTILINE,
        )
        if online != "0"
    ]
    return all(lowest == highest for lowest, highest in found) if found else None


def l4t(text: str) -> Optional[str]:
    """/etc/nv_tegra_release: "# R36 (release), REVISION: 4.3, ..." is 36.4.3."""
    match = re.search(r"^# R([0-9]{1,4}) \(release\), REVISION: ([0-9.]{1,20})", text, re.MULTILINE)
    return "%s.%s" % match.groups() if match else None
