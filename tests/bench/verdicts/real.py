"""Series of real repeated runs: model A of every A/B trial is one and the same, so each trial is a night of it."""

from __future__ import annotations

import dataclasses
from statistics import median
from typing import Any

from device_agents.farm.ledger.points import Key, Point, Series
from device_agents.farm.paired import block_medians, percentile
from device_agents.farm.report import Report
from device_agents.farm.series import ChangePoint, judge

STEPS = (0.03, 0.05, 0.10)
LEARNING, PATIENCE, EVERY = 25, 30, 3
_KEY = Key("stack", "A", "host", "this machine", "onnxruntime", "float32")


def night(report: Report) -> dict[str, Any]:
    """What a series takes of a report, in ns; only a valid one makes a night."""
    canary = report.canary_model or {}
    return {
        "valid": report.valid,
        "blocks": [block.ns for block in block_medians(report.results[0]["blocks"])],
        "canary_blocks": [block.ns for block in block_medians(canary.get("blocks") or [])],
    }


def judged(found: dict[str, Any]) -> dict[str, Any]:
    """{"nights", "alarms", "device", and by step the nights until it is seen} of the trials of ab.run.

    A step is every night's figure from some night on multiplied, and its bundle another; the canary stays as it was
    measured. It begins at every third night that leaves 25 before it and 30 after it.
    """
    trials = sorted((trial for kind in found["kinds"] for trial in kind["trials"]), key=lambda trial: trial["number"])
    nights = [trial["night"] for trial in trials if trial["night"]["valid"]]
    points = [_point(number, one) for number, one in enumerate(nights)]
    changes = _changes(points)
    told: dict[str, Any] = {"nights": len(points)}
    told["device"] = sum(change.causes[0].what == "device" for change in changes)
    told["alarms"] = len(changes) - told["device"]
    for step in STEPS:
        delays: list[int | None] = []
        for place in range(LEARNING, len(points) - PATIENCE, EVERY):
            moved = points[:place] + [_slower(point, step) for point in points[place : place + PATIENCE]]
            seen = [one for one in _changes(moved) if one.found >= place and one.worse and _of_model(one)]
            delays.append(min((one.found - place + 1 for one in seen), default=None))
        told[f"{step:.0%}"] = delays
    return told


def text(told: dict[str, Any]) -> str:
    """One sentence a finding."""
    lines = [
        f"{told['nights']} repeated runs of one model on this machine (A of every valid trial above), taken as the "
        f"nights of a series: {told['alarms']} false alarms, {told['device']} put down to the device."
    ]
    for step in STEPS:
        delays = told[f"{step:.0%}"]
        seen = sorted(delay for delay in delays if delay is not None)
        if delays:
            typical = f"median {median(seen):g}, p90 {percentile(seen, 0.9):g}" if seen else "never"
            lines.append(
                f"A step of {step:.0%} put into them at {len(delays)} places and blamed on the model: nights until "
                f"seen {typical}; not within {PATIENCE}: {len(delays) - len(seen)}."
            )
    return "\n".join(lines)


def _changes(points: list[Point]) -> list[ChangePoint]:
    found = judge([Series(_KEY, tuple(points))]) if points else []
    return [change for verdict in found if verdict.metric == "latency" for change in verdict.changes]


def _of_model(change: ChangePoint) -> bool:
    return change.causes[0].what == "model"


def _point(number: int, night: dict[str, Any]) -> Point:
    blocks = tuple(night["blocks"])
    return Point(
        number, f"trial {number}", "", {"latency": median(blocks)}, blocks, None, tuple(night["canary_blocks"]),
        {"bundle": "a" * 64},
    )  # fmt: skip


def _slower(point: Point, step: float) -> Point:
    return dataclasses.replace(
        point,
        values={"latency": point.values["latency"] * (1 + step)},
        blocks=tuple(block * (1 + step) for block in point.blocks),
        environment={"bundle": "b" * 64},
    )
