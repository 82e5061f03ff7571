"""What was measured at the end: one entry a bundle, the front among them, and the one that is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device_agents.farm.paired import THRESHOLD, Ratio
from device_agents.farm.verdict import Candidate, Judgement, fallen_back
from pipeline.outcome import Measured
from pipeline.search.constraints import Constraints


@dataclass(frozen=True)
class Entry:
    """One bundle. shrink: the keys of its [[shrink]] table, {} of the trained network; validation: the file's metric
    there; metric: on the test part, by name and value; speedup: against the base; trouble: why it can't be chosen;
    reason, instead: why it does not pay on the device, and what to do about that."""

    name: str
    runtime: str
    precision: str
    shrink: Mapping[str, Any]
    validation: float | None = None
    metric: Mapping[str, Any] | None = None
    p50_ms: float | None = None
    speedup: Mapping[str, float] | None = None
    bytes: int | None = None
    download: int | None = None
    params: int | None = None
    macs: int | None = None
    energy_mj: float | None = None
    bundle: str | None = None
    digest: str | None = None
    peak_bytes: int | None = None
    trouble: str | None = None
    reason: str | None = None
    instead: str | None = None
    epochs: int | None = None
    predicted_ms: float | None = None
    predicted_validation: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "shrink": dict(self.shrink)}

    @property
    def measured(self) -> bool:
        return self.p50_ms is not None and self.metric is not None and self.trouble is None

    @property
    def ratio(self) -> Ratio:
        """Of the base's time over its own; of the base itself, 1."""
        return Ratio(**self.speedup) if self.speedup else Ratio(1.0, 1.0, 1.0)


def entry_of(one: Measured, found: Candidate, said: Judgement) -> Entry:
    """A variant's figures in the last session, and what was judged of them."""
    manifest, result = one.manifest or {}, one.result or {}
    value = found.metric.value if found.metric and math.isfinite(found.metric.value) else None
    trouble = found.error or fallen_back(found) or None
    if not trouble and found.metric and value is None:
        trouble = f"{found.metric.name} is no number on the test part"
    if not trouble and found.parent and found.latency and not found.speedup:
        trouble = "too few paired blocks to compare it with the base"
    loses = said.verdict == "does not pay" and not trouble
    return Entry(
        found.name, one.variant.runtime.name, found.precision, {},
        metric={"name": found.metric.name, "value": value} if found.metric and value is not None else None,
        p50_ms=found.latency.p50_ms if found.latency else None,
        speedup=found.speedup.to_json() if found.speedup else None,
        bytes=manifest.get("bytes"), download=manifest.get("download"), params=manifest.get("params"),
        macs=manifest.get("macs"), energy_mj=result.get("energy_mj"), peak_bytes=found.peak_bytes,
        trouble=trouble, reason=said.reason if loses else None, instead=(said.instead or None) if loses else None,
    )  # fmt: skip


def front_of(entries: Sequence[Entry]) -> list[Entry]:
    """Those that no other beats: as good in latency, file, download, metric and energy, and better in one of them."""
    measured = [one for one in entries if one.measured]
    return [one for one in measured if not any(_beats(_figures(other), _figures(one)) for other in measured)]


def _figures(one: Entry) -> tuple[float, ...]:
    value = one.metric["value"] if one.metric else 0.0
    energy = one.energy_mj if one.energy_mj is not None else 0.0
    return (one.p50_ms or 0.0, float(one.bytes or 0), float(one.download or 0), -float(value), energy)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def broken(one: Entry, base: Entry, asked: Constraints, floor: float, limits: Mapping[str, float]) -> dict[str, float]:
    """Which constraints an entry breaks, and by how much in relation to what is allowed; {}: it holds them all.

    The drop counts on test and on validation, against the base there. limits: the target's (ms, bytes, drop, memory).
    """
    found: dict[str, float] = {}
    if not one.measured or one.metric is None or base.metric is None:
        return {"measured": float("inf")}
    drops = {"test": base.metric["value"] - one.metric["value"]}
    if one.validation is not None and base.validation is not None:
        drops["validation"] = base.validation - one.validation
    allowed = min(asked.max_drop, limits.get("drop", 1.0))
    for part, drop in drops.items():
        if not drop <= allowed + 1e-9:  # so that no number is none that holds
            found[f"metric lost on {part}"] = (drop - allowed) / max(allowed, 0.002)
    if not one.metric["value"] >= floor - 1e-9:
        found["floor"] = (floor - one.metric["value"]) / max(1 - floor, 0.002)
    for key, value, most in (
        ("ms", one.p50_ms, _least(asked.max_ms, limits.get("ms"))),
        ("bytes", one.bytes, _least(asked.max_bytes, limits.get("bytes"))),
        ("memory", one.peak_bytes, limits.get("memory")),
    ):
        if most is not None and value is not None and value > most:
            found[key] = (value - most) / most
    return found


def _least(*limits: float | None) -> float | None:
    return min((one for one in limits if one is not None), default=None)


def choose(
    entries: Sequence[Entry], base: Entry, broke: Mapping[str, Mapping[str, float]]
) -> tuple[Entry | None, Entry]:
    """The chosen one (None where nothing holds the constraints), and the best found.

    Fastest wins; of those that can't be told from it (2 %), the smallest download. What isn't shown to be faster than
    the base must at least be smaller.
    """
    measured = [one for one in entries if one.measured] or [base]
    sound = [one for one in measured if not broke[one.name] and _pays(one, base)]
    if sound:
        fastest = max(one.ratio.value for one in sound)
        near = [one for one in sound if one.ratio.value >= fastest * (1 - THRESHOLD)]
        chosen = min(near, key=lambda one: (one.download or one.bytes or 0, -one.ratio.value, one.name))
        return chosen, chosen
    best = min(measured, key=lambda one: (sum(broke[one.name].values()), -one.ratio.value, one.name))
    return None, best


def _pays(one: Entry, base: Entry) -> bool:
    """Rule 5: nothing slower than what it came from is chosen, nor what is neither faster nor smaller."""
    if one.name == base.name:
        return True
    smaller = (one.bytes or 0) < (base.bytes or 0)
    return one.ratio.low > 1 or (smaller and one.ratio.high >= 1)
