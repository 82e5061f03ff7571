"""A night in words, as every output needs them: its one sentence, its regressions, what it could not measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.farm.night.record import DONE, JobNight, Night

Verdict = Mapping[str, Any]
"""SeriesVerdict.to_json() of device_agents/farm/series/verdict.py."""


@dataclass(frozen=True)
class Missing:
    """Something that was wanted and is not there. what: `build`, `device`, or the state of a job ("failed", "invalid",
    "skipped" ...; "measured": without one of its variants); device: None for a build; model: None for a device."""

    what: str
    target: str
    device: str | None
    model: str | None
    problem: str
    remedy: str


def regressions(night: Night) -> list[Verdict]:
    """The verdicts that make the status 1."""
    return [night.verdicts[place] for place in night.regressions]


def missing(night: Night) -> list[Missing]:
    """What was wanted and was not built or measured: builds, then jobs, then devices that no job stands for."""
    found = [
        Missing("build", one.target, None, one.model, one.problem or "it failed", one.remedy or "")
        for one in night.builds
        if one.state == "failed" or one.problem
    ]
    found += [
        Missing(one.state, one.target, one.device, one.model, one.problem or _unsaid(one), one.remedy or "")
        for one in night.jobs
        if one.state not in DONE or one.problem
    ]
    with_jobs = {one.device for one in night.jobs}
    found += [
        Missing("device", one.target, one.name, None, one.problem or f"it was {one.state}", one.remedy or "")
        for one in night.devices
        if one.state != "healthy" and one.name not in with_jobs
    ]
    if night.problem:
        found.append(Missing("night", "", None, None, night.problem, "./inv ledger"))
    return found


def _unsaid(job: JobNight) -> str:
    return {"waiting": "its turn did not come", "running": "it was cut off"}.get(job.state, f"it was {job.state}")


def sentence(night: Night) -> str:
    """The whole night in one sentence, the regressions first."""
    worse, absent = len(night.regressions), len(missing(night))
    measured = sum(one.state in DONE for one in night.jobs)
    done = f"{counted(measured, 'job')} measured on {counted(len({one.device for one in night.jobs}), 'device')}"
    not_done = f", {counted(absent, 'thing')} not" if absent else ""
    if night.finished is None:
        return f"Not finished: {done} so far."
    if worse:
        return f"{counted(worse, 'regression')}: {done}{not_done}."
    if night.problem:
        return f"Not judged: {done}{not_done}."
    if night.status == 2:
        return f"Farm trouble: {done}{not_done}; nothing that was measured got worse."
    return f"Same or faster: {done}{not_done}; nothing got worse."


def counted(number: int, thing: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def change(verdict: Verdict) -> str:
    """New level over old in percent with its interval, "-" where there is nothing to compare."""
    ratio = verdict.get("ratio") or {}
    if ratio.get("value") is None:
        return "-"
    said = _percent(ratio["value"])
    low, high = ratio.get("low"), ratio.get("high")
    return said if low is None or high is None or low == high else f"{said} [{_percent(low)} {_percent(high)}]"


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


def printable(text: object) -> str:
    """Text on one line, without control characters and without what can't be written as UTF-8."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in str(text))
