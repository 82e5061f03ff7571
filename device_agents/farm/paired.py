"""Latency and speed-up out of raw samples: percentiles, and the ratio of two variants timed in pairs with its interval.

Variants of one job take turns (A B B A) in blocks, so blocks of the same process and round met the same weather; their
ratio cancels it. Pairs of one process still share its memory layout and its clock, so the interval resamples processes
first and blocks within them second.

Sources: Kalibera & Jones, "Rigorous Benchmarking in Reasonable Time" (ISMM 2013) for the levels of repetition;
Davison & Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8, for resampling nested data;
Hodges & Lehmann (1963) for the estimate; Satterthwaite (1946) for the degrees of freedom of a two-level variance, with
which the interval is widened where there are few processes (the idea of Hesterberg, "What Teachers Should Know About
the Bootstrap", The American Statistician 69(4), 2015: a percentile interval is too narrow in small samples).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import Any, Literal

from device_agents.farm.student import quantile

Comparison = Literal["faster", "slower", "same", "undecided"]

THRESHOLD = 0.02
"""The smallest change that is called one: 2 %, the finest alarm that Mozilla's Perfherder raises by default."""

_RESAMPLES = 1000
_MAX_WORK = 600_000
"""Walsh averages per interval: keeps the largest jobs within about half a second of pure Python."""
_NORMAL_975 = 1.959964


@dataclass(frozen=True)
class Latency:
    """Percentiles of one call over all raw samples, in milliseconds; `n` is the number of samples."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        return {"p50": self.p50_ms, "p90": self.p90_ms, "p99": self.p99_ms, "n": self.n}


@dataclass(frozen=True)
class Ratio:
    """Base time / variant time (above 1: the variant is faster) and its interval: of 95 % if nothing else is said."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class BlockMedian:
    """The median time of one call in one block, in nanoseconds."""

    process: int
    round: int
    ns: float


def calls_ns(block: Mapping[str, Any]) -> list[float]:
    """Times of one call in nanoseconds: the block's samples over its batch; what can't be a time is left out."""
    batch = block.get("batch", 1)
    batch = 1 if batch is None else batch
    if not _is_time(batch):
        return []
    return [ns / batch for ns in block.get("samples_ns") or [] if _is_time(ns)]


def block_medians(blocks: Iterable[Mapping[str, Any]]) -> list[BlockMedian]:
    """One median a block, in the order given; blocks without a usable sample are left out."""
    medians = []
    for block in blocks:
        times = calls_ns(block)
        if times:
            medians.append(BlockMedian(int(block.get("process") or 0), int(block.get("round") or 0), median(times)))
    return medians


def percentile(ordered: Sequence[float], share: float) -> float:
    """The `share` (0..1) quantile of values in rising order, linear between neighbours (type 7 of Hyndman & Fan)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def latency(result: Mapping[str, Any]) -> Latency | None:
    """Percentiles over the raw samples of one result of a report; None where it holds no usable sample."""
    times = sorted(ns / 1e6 for block in result.get("blocks") or [] for ns in calls_ns(block))
    if not times:
        return None
    return Latency(percentile(times, 0.5), percentile(times, 0.9), percentile(times, 0.99), len(times))


def speedup(
    base_result: Mapping[str, Any], result: Mapping[str, Any], seed: int = 0, confidence: float = 0.95
) -> Ratio | None:
    """Base time / variant time with its interval, the same for the same samples and seed.

    Both are results of one report; pairs are blocks of the same process and round. None with fewer than two pairs:
    one pair tells nothing about its own spread.
    """
    groups = _log_ratios(block_medians(base_result.get("blocks") or []), block_medians(result.get("blocks") or []))
    return ratio_of(groups, seed, confidence)


def ratio_of(groups: list[list[float]], seed: int = 0, confidence: float = 0.95) -> Ratio | None:
    """The ratio of log ratios that came in groups: those of one group share what they don't share with another's.

    The estimate is the Hodges-Lehmann one over the groups' own; None with fewer than two log ratios in all.
    """
    if sum(map(len, groups)) < 2:
        return None
    centre = _centre(groups)
    low, high = _interval(groups, random.Random(seed))
    wider = _widening(groups, confidence)
    # The estimate always lies inside: a resampled interval of a skewed handful may miss it.
    low, high = min(centre + (low - centre) * wider, centre), max(centre + (high - centre) * wider, centre)
    return Ratio(math.exp(centre), _exp(low), _exp(high))


def compare(ratio: Ratio, threshold: float = THRESHOLD) -> Comparison:
    """What the whole interval says: beyond 1 + threshold, below 1 - threshold, within both, or none of these."""
    if ratio.low > 1 + threshold:
        return "faster"
    if ratio.high < 1 - threshold:
        return "slower"
    if ratio.low >= 1 - threshold and ratio.high <= 1 + threshold:
        return "same"
    return "undecided"


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _exp(value: float) -> float:
    """exp, kept finite: a report is JSON, which has no infinity."""
    return math.exp(max(-700.0, min(700.0, value)))


def _log_ratios(base: list[BlockMedian], other: list[BlockMedian]) -> list[list[float]]:
    """Log of base over variant for every shared (process, round), grouped by process."""
    ours, theirs = _by_round(base), _by_round(other)
    groups: dict[int, list[float]] = {}
    for process, turn in sorted(ours.keys() & theirs.keys()):
        groups.setdefault(process, []).append(ours[process, turn] - theirs[process, turn])
    return list(groups.values())


def _by_round(medians: list[BlockMedian]) -> dict[tuple[int, int], float]:
    """Mean log time a round: a variant that has both turns of an ABBA round gives one figure for it."""
    logs: dict[tuple[int, int], list[float]] = {}
    for block in medians:
        logs.setdefault((block.process, block.round), []).append(math.log(block.ns))
    return {key: fmean(values) for key, values in logs.items()}


def _hodges_lehmann(values: Sequence[float]) -> float:
    """The median of all pairwise means: as robust as needed, and nearly as efficient as the mean."""
    return median([(a + b) / 2 for i, a in enumerate(values) for b in values[i:]])


def _centre(groups: list[list[float]]) -> float:
    """Of the groups' own estimates: a group with more blocks than another weighs no more."""
    if len(groups) == 1:
        return _hodges_lehmann(groups[0])
    return _hodges_lehmann([_hodges_lehmann(group) for group in groups])


def _interval(groups: list[list[float]], rng: random.Random) -> tuple[float, float]:
    """The central 95 % of the bootstrap's estimates."""
    sizes = [len(group) for group in groups] + [len(groups)]
    resamples = max(200, min(_RESAMPLES, _MAX_WORK // sum(size * (size + 1) // 2 for size in sizes)))
    centres = sorted(
        _centre([rng.choices(group, k=len(group)) for group in rng.choices(groups, k=len(groups))])
        for _ in range(resamples)
    )
    return percentile(centres, 0.025), percentile(centres, 0.975)


def _widening(groups: list[list[float]], confidence: float) -> float:
    """From a percentile interval of 95 % to one of `confidence` that holds for so few groups: Student's t over the
    normal quantile, at Satterthwaite's degrees of freedom for the share of the variance that lies between processes,
    and that share's (n - 1) / n bias undone."""
    many = [group for group in groups if len(group) > 1]
    within_df = sum(len(group) - 1 for group in many)
    if len(groups) < 2:
        return quantile(confidence, within_df) / _NORMAL_975
    share = 1.0
    if many:
        within = sum(variance(group) * (len(group) - 1) for group in many) / within_df
        between = variance([fmean(group) for group in groups]) * fmean(map(len, groups))
        share = max(0.0, 1 - within / between) if between > 0 else 0.0
    freedom = 1 / (share**2 / (len(groups) - 1) + ((1 - share) ** 2 / within_df if within_df else 0.0))
    return quantile(confidence, round(freedom, 3)) / _NORMAL_975 / math.sqrt(1 - share / len(groups))
