"""A metric's values as people read them: the unit of an axis, and one figure by itself."""

from __future__ import annotations

from collections.abc import Sequence

from device_agents.farm.figures import is_share, show_bytes, show_metric, show_ms

TITLES = {
    "latency": "Latency, p50",
    "load_time": "Load time",
    "memory": "Peak memory",
    "size": "File size",
    "energy": "Energy of one inference",
    "accuracy": "Metric",
}
"""What a metric of the ledger is called over its chart."""

_TIMES = ("latency", "load_time")
_BYTES = ("memory", "size")


def unit(metric: str, values: Sequence[float], name: str = "") -> tuple[float, str]:
    """(factor, unit) that bring base units (ns, bytes, mJ, a share) to an axis. name: of the accuracy's metric."""
    if metric in _TIMES:
        return 1e-6, " ms"
    if metric in _BYTES:
        largest = max(values, default=0.0)
        power = 0 if largest < 1000 else 1 if largest < 1000 * 1024 else 2
        return 1024.0**-power, (" B", " KiB", " MiB")[power]
    if metric == "accuracy":
        return (100.0, " %") if is_share(name) else (1.0, "")
    return 1.0, " mJ"


def show(metric: str, value: float, name: str = "") -> str:
    """One figure with its unit, from base units."""
    if metric in _TIMES:
        return f"{show_ms(value / 1e6)} ms"
    if metric in _BYTES:
        return show_bytes(value)
    return show_metric(name, value) if metric == "accuracy" else f"{value:.3g} mJ"


def moment(text: str) -> str:
    """2026-01-01T12:00:00Z as 2026-01-01 12:00; anything else as it is."""
    return f"{text[:10]} {text[11:16]}" if len(text) >= 17 and text[10] == "T" else text
