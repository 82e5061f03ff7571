"""What a device says of itself, made harmless: plain text, finite numbers, bounded depth and size, the types promised.

A device may be broken, or be something that pretends to be one. What it says is shown on terminals and pages, and
compared as numbers; what can't be shown or compared becomes None, which everywhere means "not known".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

TEXT = 2000
"""Characters of a message."""
WORD = 200
"""Characters of a name, a version or a reading."""
NUMBER = 2**53
"""The largest whole number that every reader of JSON keeps exactly."""
_DEPTH = 6
_VALUES = 4000

Json = dict[str, Any]


def printable(text: str, most: int = TEXT) -> str:
    """Text on one line, at most `most` characters: no control character, escape sequence, surrogate or hidden mark."""
    text = text[:most]
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def clean(value: Any, depth: int = _DEPTH, values: int = _VALUES) -> Any:
    """Any JSON value with its texts printable and its numbers finite; None for what lies deeper, or beyond `values`."""
    left = values

    def go(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if depth < 0 or left < 0 or value is None or isinstance(value, bool):
            return value if isinstance(value, bool) and left >= 0 else None
        if isinstance(value, str):
            return printable(value, WORD)
        if isinstance(value, int | float):
            return value if is_number(value) else None
        if isinstance(value, dict):
            return {printable(str(key), WORD): go(one, depth - 1) for key, one in islice(value.items(), max(left, 0))}
        if isinstance(value, list):
            return [go(one, depth - 1) for one in islice(value, max(left, 0))]
        return None

    return go(value, depth)


def facts(given: Json) -> Json:
    """What a device is, each key of agent/probe.py with the type that it has there; what has another is None."""
    return _typed(clean(given), _FACTS)[0]


def state(given: Json) -> Json:
    """How a device is now, as `facts`; a reading of another type is named among the garbled ones."""
    found, wrong = _typed(clean(given), _STATE)
    if wrong:
        found["garbled"] = sorted({*(found.get("garbled") or ()), *wrong})
    return found


def is_number(value: Any) -> bool:
    """A number that can be reckoned with: finite, and whole ones up to 2**53 either way."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= NUMBER if isinstance(value, int) else math.isfinite(value)


def _typed(given: Json, types: dict[str, Callable[[Any], bool]]) -> tuple[Json, list[str]]:
    wrong = [key for key, value in given.items() if value is not None and key in types and not types[key](value)]
    return given | dict.fromkeys(wrong), wrong


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _bool(value: Any) -> bool:
    return isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and is_number(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _table(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _known(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or of(value)


_FACTS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("machine", "cpu_model", "os", "kernel", "python", "libc", "board", "boot_id", "l4t"), _text),
    **dict.fromkeys(("bits", "cores"), _whole),
    **dict.fromkeys(("cpu_max_khz", "memory_bytes"), is_number),
    "identity": _text,
    "pinning": _bool,
    "power_modes": _table(_whole),
    "android": _table(_known(lambda value: _text(value) or _whole(value))),
}
_STATE: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("governor", "power_mode", "boot_id"), _text),
    **dict.fromkeys(("throttled", "thermal_status", "power_mode_id"), _whole),
    **dict.fromkeys(("freq_khz", "min_freq_khz", "max_freq_khz", "measured_khz", "core_volts"), is_number),
    **dict.fromkeys(("gpu_percent", "load1", "psi_cpu_avg10", "psi_memory_avg10", "uptime_s"), is_number),
    **dict.fromkeys(("memory_available_bytes", "swap_used_bytes", "disk_free_bytes"), is_number),
    **dict.fromkeys(("temperature_c", "power_mw"), is_number),
    **dict.fromkeys(("clocks_locked", "clock_set"), _bool),
    **dict.fromkeys(("temperatures", "rails_mw"), _table(_known(is_number))),
    "sources": _table(_texts),
    "garbled": _texts,
    "battery": _table(_known(lambda value: _bool(value) or is_number(value))),
}
