"""Figures as people read them: sizes, counts, metrics and ratios, spelled alike in messages, tables and pages."""

from __future__ import annotations

import math

from device_agents.farm.paired import Ratio


def is_share(metric: str) -> bool:
    """True for metrics that are fractions (top-1, any accuracy): shown in percent, their drops in points."""
    return metric.startswith("top-") or "accuracy" in metric


def show_metric(name: str, value: float) -> str:
    """92.2 % for a fraction of 0.922; other metrics as they are."""
    return f"{value * 100:.1f} %" if is_share(name) else f"{value:.4g}"


def show_drop(name: str, drop: float) -> str:
    """0.4 points for a fraction that fell by 0.004; other metrics as they are."""
    return f"{drop * 100:.1f} points" if is_share(name) else f"{drop:.4g}"


def show_ratio(ratio: Ratio) -> str:
    """1.90x [1.80 2.00]."""
    return f"{ratio.value:.2f}x [{ratio.low:.2f} {ratio.high:.2f}]"


def show_bytes(count: float) -> str:
    """Bytes with a binary unit and three digits: 76.3 KiB."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1000 or (unit == "B" and abs(count) < 1024):
            return f"{_digits(count)} {unit}"
        count /= 1024
    return f"{_digits(count)} GiB"


def show_count(count: float) -> str:
    """Parameters and MACs with a decimal unit: 1.23 M."""
    for unit in ("", " k", " M", " G"):
        if abs(count) < 999.5:
            return f"{_digits(count)}{unit}"
        count /= 1000
    return f"{_digits(count)} T"


def show_seconds(seconds: float) -> str:
    """0.4 s, 24 s, 3 min 05 s."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def a_or_an(noun: str) -> str:
    """`a raspberry-pi`, `an android`."""
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"


def show_ms(value: float) -> str:
    """Milliseconds with three digits, never with an exponent."""
    return _digits(value)


def _digits(value: float) -> str:
    """Three significant digits without an exponent; whole numbers stay whole."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 9)}f}"
