"""What a row came to: its figures, its metric and its speed, or why it could not be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from device_agents.farm.paired import Ratio
from tests.bench.compression.rows import Family, Row


@dataclass
class Line:
    """A row with what was found. plain, lean, package: bytes; validation, metric: top-1, 0..1, of the part that chooses
    and of the test part; p50_ms: of one call; speedup: the FP32 model's time in onnxruntime over this one's; beside:
    that of the row that it came from; epochs: of fine-tuning; shrink: the keys that the search chose."""

    key: str
    label: str
    family: Family
    parent: str | None = None
    role: str | None = None
    floor: float | None = None
    seed: int | None = None
    runtime: str = ""
    precision: str = ""
    params: int | None = None
    macs: int | None = None
    epochs: int | None = None
    plain: int | None = None
    lean: int | None = None
    package: int | None = None
    validation: float | None = None
    metric: float | None = None
    p50_ms: float | None = None
    speedup: Ratio | None = None
    beside: Ratio | None = None
    shrink: Mapping[str, Any] | None = None
    error: str = ""

    @classmethod
    def of(cls, row: Row, **found: Any) -> Line:
        """The row, with what is known of it so far."""
        told = {"key": row.key, "label": row.label, "family": row.family, "parent": row.parent}
        return cls(**told, role=row.role, floor=row.floor, seed=row.seed, **found)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Line:
        ratios = {name: Ratio(**found[name]) if found[name] else None for name in ("speedup", "beside")}
        return cls(**{**found, **ratios})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lost(self, base: Line) -> float | None:
        """Points of top-1 on the test part below the base; None where one was not measured."""
        if self.metric is None or base.metric is None:
            return None
        return (base.metric - self.metric) * 100

    def smaller(self, base: Line, size: str) -> float | None:
        """How many times smaller than the base's file as its exporter wrote it; size: plain, lean or package."""
        own: int | None = getattr(self, size)
        return base.plain / own if own and base.plain else None
