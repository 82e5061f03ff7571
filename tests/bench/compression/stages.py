"""Is an artifact slower or larger than what it came from? Counted over peers' rows and all that the searches tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from device_agents.farm.paired import THRESHOLD, compare
from tests.bench.compression.lines import Line


@dataclass
class Stages:
    """Of `artifacts`, those slower and those larger than their origin, by name. said: whose they are."""

    said: str
    artifacts: int = 0
    slower: list[str] = field(default_factory=list)
    larger: list[str] = field(default_factory=list)

    @property
    def losses(self) -> int:
        """Artifacts that lose in speed, size or both."""
        return len({*self.slower, *self.larger})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def of_lines(said: str, lines: Sequence[Line]) -> Stages:
    """Rows of the table against the rows that they came from: slower where the whole interval of their pairs is, larger
    by more than THRESHOLD: what an exporter writes beside the weights differs a little from run to run."""
    by_key = {line.key: line for line in lines}
    found = Stages(said)
    for line in lines:
        parent = by_key.get(line.parent or "")
        if parent is None or line.beside is None:
            continue
        found.artifacts += 1
        if compare(line.beside) == "slower":
            found.slower.append(line.label)
        if line.plain and parent.plain and line.plain > parent.plain * (1 + THRESHOLD):
            found.larger.append(line.label)
    return found


def of_search(said: str, search: Mapping[str, Any]) -> tuple[Stages, Stages]:
    """All candidates of one search, and those of them that it ships (its choice).

    An integer candidate came from the float one of the same cut and runtime, others from the base. Both were measured
    against the base, so their speed-ups are compared. Slower and larger are by more than THRESHOLD.
    """
    every = {one["name"]: one for one in [*search["candidates"], *search["front"]] if one.get("speedup")}
    tried, shipped = Stages(f"{said}: tried"), Stages(f"{said}: shipped")
    for entry in every.values():
        origin = _origin(entry, every.values(), search["base"])
        counted = [tried, *([shipped] if entry["name"] == search.get("chosen") else [])]
        for one in counted:
            one.artifacts += 1
            if entry["speedup"]["value"] < _speed(origin) * (1 - THRESHOLD):
                one.slower.append(entry["name"])
            if entry["bytes"] > origin["bytes"] * (1 + THRESHOLD):
                one.larger.append(entry["name"])
    return tried, shipped


def _origin(entry: Mapping[str, Any], every: Iterable[Mapping[str, Any]], base: Mapping[str, Any]) -> Mapping[str, Any]:
    if entry["precision"] == "float32":
        return base
    same = (
        one
        for one in every
        if one["precision"] == "float32" and all(one.get(key) == entry.get(key) for key in ("runtime", "shrink"))
    )
    return next(same, base)


def _speed(entry: Mapping[str, Any]) -> float:
    found = entry.get("speedup")
    return float(found["value"]) if found else 1.0


def added(said: str, stages: Iterable[Stages]) -> Stages:
    """Several counts as one. Names of two searches may be the same and mean two artifacts: each gets its number."""
    total = Stages(said)
    for number, one in enumerate(stages):
        total.artifacts += one.artifacts
        total.slower += [f"{name} ({number})" for name in one.slower]
        total.larger += [f"{name} ({number})" for name in one.larger]
    return total
