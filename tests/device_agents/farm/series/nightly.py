"""Series for tests: nights with a known level, noise and environment."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from device_agents.farm.ledger.points import Key, Point, Series

KEY = Key("resnet8", "int8", "raspberry-pi", "pi-1", "litert", "int8")


def levels(before: int, after: int, step: float = 1.05, sd: float = 0.01, seed: object = 0) -> list[float]:
    """Nights of 1 ms with normal noise, the last `after` of them `step` times slower; in ns."""
    rng = random.Random(f"levels {seed}")
    return [1e6 * (step if night >= before else 1.0) * (1 + rng.gauss(0, sd)) for night in range(before + after)]


def series(
    values: Sequence[float],
    metric: str = "latency",
    *,
    key: Key = KEY,
    canary: Sequence[float] | None = None,
    agent_canary: Sequence[float] | None = None,
    environment: Mapping[int, Mapping[str, str]] | None = None,
    first: int = 0,
) -> Series:
    """One point a value. environment: from this night on, what of it is another."""
    found: dict[str, str] = {
        "bundle": "7abb" * 8,
        "runtime_version": "2.3",
        "kernel": "6.1",
        "identity": "aa",
        "agent_version": "1",
    }
    points = []
    for night, value in enumerate(values):
        found = found | dict((environment or {}).get(night, {}))
        points.append(
            Point(
                seq=first + night,
                report=f"report-{first + night}",
                started="2026-11-20T00:00:00Z",
                values={metric: value},
                blocks=(),
                canary_ns=agent_canary[night] if agent_canary else None,
                canary_blocks=(canary[night],) if canary else (),
                environment=dict(found),
            )
        )
    return Series(key, tuple(points))
