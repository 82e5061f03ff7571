"""What the judge is given and what it says: variants as they were built and measured, limits, judgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_agents.farm.paired import Latency, Ratio


@dataclass(frozen=True)
class Metric:
    """What the recipe asks for, higher is better. top-1 and other accuracies are fractions (0.922)."""

    name: str
    value: float
    on_device: bool = True


@dataclass(frozen=True)
class Limits:
    """What a target allows; None is no limit. The latency limit is held against p50, the drop against the base."""

    latency_ms: float | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    metric_drop: float | None = None


@dataclass(frozen=True)
class Sparsity:
    """share: zeros among the weights of the file; skipped: the target says that it skips zeros in this pattern."""

    pattern: str
    share: float
    skipped: bool = False


@dataclass(frozen=True)
class Candidate:
    """One variant as it was built and measured.

    parent: the variant that it was made from (pruned+int8 came from pruned); None for the base.
    speedup, speedup_parent: base time and parent's time over its own; None where there is no pair to compare.
    download_bytes: the file as an app ships it, compressed.
    providers, wanted_providers: what the runtime used, and what the target asked for, best first (empty: no wish).
    weight_bits: weights have 2^bits - 1 values for each output channel; None for as many as training left them.
    stage: whether a stage of shrinking made it from its parent; False for the same network in another runtime.
    """

    name: str
    parent: str | None
    precision: str
    bytes: int
    macs: int | None = None
    metric: Metric | None = None
    latency: Latency | None = None
    speedup: Ratio | None = None
    speedup_parent: Ratio | None = None
    peak_bytes: int | None = None
    error: str | None = None
    providers: Sequence[str] = ()
    wanted_providers: Sequence[str] = ()
    download_bytes: int | None = None
    sparsity: Sparsity | None = None
    weight_bits: int | None = None
    stage: bool = True


@dataclass(frozen=True)
class Judgement:
    """`verdict` is one of: the base, pays, pays in size only, pays in download only, holds the limits, does not pay,
    below the floor, over the limit, failed; the shipped one's ends in ": shipped". `reason` is one sentence with the
    figures; `instead` what to do where a cause was found (why.explained). `against`: what it came from and has not
    beaten, where a measurement may find out why; else ""."""

    name: str
    verdict: str
    reason: str
    instead: str = ""
    against: str = ""
