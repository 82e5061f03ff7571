"""Every block of a report as a strip: how its raw samples lie, and in the table beside it what was around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device_agents.farm.charts import CROWDED, HEIGHT, WIDTH, Axis, Tick, nice_axis
from device_agents.farm.figures import show_ms
from device_agents.farm.paired import calls_ns, percentile

Json = Mapping[str, Any]

_SHARES = (0.0, 0.25, 0.5, 0.75, 0.95)
"""Of a block's samples: where a strip begins, its box, its middle, and where it ends (the few slowest are no frame)."""


@dataclass(frozen=True)
class Block:
    """One block as a row of the table. marks: what is said of it besides figures."""

    process: int
    round: int
    samples: int
    p50: str
    p95: str
    slowest: str
    canary: str
    others: str
    marks: str


@dataclass(frozen=True)
class Strips:
    """The blocks of one variant in their order. lines: from the fastest sample to the 95th percentile; boxes: the
    middle half; middles: the medians; again: boxes of blocks that were discarded and measured anew; all SVG paths."""

    name: str
    lines: str
    boxes: str
    middles: str
    again: str
    ticks: tuple[Tick, ...]
    blocks: tuple[Block, ...]


def strips(result: Json) -> Strips | None:
    """The strips of one result of a report; None where it has no usable sample."""
    blocks = [(block, True) for block in result.get("blocks") or []]
    blocks += [(block, False) for block in result.get("redone") or []]
    # In the order in which they were taken, as far as it is told: what was discarded stands beside what counts.
    blocks.sort(key=lambda one: (_whole(one[0].get("process")), _whole(one[0].get("round")), one[1]))
    taken = [(block, kept, sorted(ns / 1e6 for ns in calls_ns(block))) for block, kept in blocks]
    taken = [one for one in taken if one[2]]
    if not taken:
        return None
    levels = [[percentile(times, share) for share in _SHARES] for _, _, times in taken]
    axis = nice_axis(min(level[0] for level in levels), max(level[-1] for level in levels), about=4, unit=" ms")
    wide = WIDTH / len(taken)
    lines: list[str] = []
    boxes: list[str] = []
    middles: list[str] = []
    again: list[str] = []
    for place, ((_, kept, _), level) in enumerate(zip(taken, levels, strict=True)):
        least, first, middle, third, most = (HEIGHT * (1 - axis.share(value)) for value in level)
        left, right, at = (place + 0.2) * wide, (place + 0.8) * wide, (place + 0.5) * wide
        lines.append(f"M{at:.0f} {least:.1f}V{most:.1f}")
        (boxes if kept else again).append(f"M{left:.0f} {first:.1f}V{third:.1f}H{right:.0f}V{first:.1f}Z")
        middles.append(f"M{left:.0f} {middle:.1f}H{right:.0f}")
    return Strips(
        name=str(result.get("name") or ""),
        lines="".join(lines),
        boxes="".join(boxes),
        middles="".join(middles),
        again="".join(again),
        ticks=_upwards(axis),
        blocks=tuple(_row(block, kept, times) for block, kept, times in taken),
    )


def _upwards(axis: Axis) -> tuple[Tick, ...]:
    return tuple(Tick(100 - tick.at, tick.label) for tick in axis.ticks)


def _row(block: Json, kept: bool, times: Sequence[float]) -> Block:
    others, canary = _number(block.get("others_cpu_share")), _number(block.get("canary_ratio"))
    marks = [] if kept else ["discarded, measured again"]
    marks += ["core was shared"] if others is not None and others > CROWDED else []
    return Block(
        process=_whole(block.get("process")),
        round=_whole(block.get("round")),
        samples=len(times),
        p50=show_ms(percentile(times, 0.5)),
        p95=show_ms(percentile(times, 0.95)),
        slowest=show_ms(times[-1]),
        canary="-" if canary is None else f"{canary:.2f}x",
        others="-" if others is None else f"{others * 100:.0f} %",
        marks=", ".join(marks),
    )


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
