"""What a night prints: a line a build, a line a job as it ends, and in the morning the regressions and the farm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_agents.farm.figures import show_seconds
from device_agents.farm.night.out.telling import regressions, sentence
from device_agents.farm.night.record import DONE, Build, JobNight, Night
from pipeline.table import aligned, plain


def build_line(build: Build) -> str:
    """`  build  resnet8 > raspberry-pi  cached  12 variants`."""
    count = len(build.variants)
    took = build.state if not build.seconds else f"{build.state} {show_seconds(build.seconds)}"
    said = f"  build  {plain(build.model)} > {plain(build.target)}  {took}  {count} variant{'' if count == 1 else 's'}"
    return said + (f"  {plain(build.problem)}" if build.problem else "")


def job_line(job: JobNight) -> str:
    """`  kitchen-pi  resnet8  measured 41 s  20261126T...`."""
    took = f" {show_seconds(job.seconds)}" if job.seconds and job.state in (*DONE, "invalid", "failed") else ""
    again = f", attempt {job.attempts}" if job.attempts > 1 else ""
    parts = [plain(job.device), plain(job.model), f"{job.state}{took}{again}", plain(job.problem or job.report or "")]
    return "  " + "  ".join(filter(None, parts))


def lines(night: Night) -> list[str]:
    """The end of a night: what got worse, what is missing and what to do about it, the farm, and one sentence."""
    said = [_regression(verdict) for verdict in regressions(night)]
    missing = [job for job in night.jobs if job.state not in DONE or job.problem]
    said += [
        f"  not built: {plain(one.model)} > {plain(one.target)}: {plain(one.problem)}"
        for one in night.builds
        if one.problem
    ]
    rows = [["device", "target", "state", "jobs", "measured", "busy", ""]]
    for device in night.devices:
        figures = [
            str(device.jobs),
            str(device.measured),
            show_seconds(device.seconds_busy) if device.seconds_busy else "-",
        ]
        names = [plain(device.name), plain(device.target), device.state]
        rows.append([*names, *figures, plain(device.problem or "")])
    said += ["", *aligned(rows)]
    remedies = [device.remedy for device in night.devices] + [build.remedy for build in night.builds]
    remedies += [job.remedy for job in missing]
    said += [f"  next:  {plain(remedy)}" for remedy in dict.fromkeys(remedies) if remedy]
    said.append(f"  night {night.id}: {plain(sentence(night))}")
    return said


def _regression(verdict: Mapping[str, Any]) -> str:
    key = verdict["key"]
    where = f"{plain(key['model'])}, {plain(key['variant'])} on {plain(key['device'])}"
    return f"  WORSE  {where}, {plain(verdict['metric']).replace('_', ' ')}: {plain(verdict['reason'])}"
