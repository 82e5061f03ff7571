"""What the ledger says of one measured thing over time: its name, its points and their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """What a series is of: runs that share all six are the same measurement, made again."""

    model: str
    variant: str
    target: str
    device: str
    runtime: str
    precision: str


@dataclass(frozen=True)
class Point:
    """One report's result in a series.

    `values` are by metric, in base units (ns, bytes, mJ, share). `blocks` are the medians of one call of each kept
    block, in ns. `canary_ns` is the agent's own canary, `canary_blocks` are the block medians of the canary model,
    both in ns. `environment` is what could have moved the figures other than the bundle's own code.
    """

    seq: int
    report: str
    started: str
    values: Mapping[str, float]
    blocks: tuple[float, ...]
    canary_ns: float | None
    canary_blocks: tuple[float, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """The points of one key, oldest first (by `seq`, since a board's clock may be wrong by years)."""

    key: Key
    points: tuple[Point, ...]
