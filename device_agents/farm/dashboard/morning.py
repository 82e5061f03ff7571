"""The morning page's first screen: how the night ended in one sentence, what got worse, and what was not measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device_agents.farm.dashboard.names import report_file, series_file
from device_agents.farm.dashboard.seriesview import causes_text, moved_text
from device_agents.farm.dashboard.units import moment
from device_agents.farm.figures import show_seconds
from device_agents.farm.ledger.points import Key
from device_agents.farm.night.record import DONE, Night
from device_agents.farm.series.verdict import blamed

Json = Mapping[str, Any]

_FIRST = ("failed", "invalid", "running", "skipped", "waiting")
"""States of jobs that were not measured, in the order in which they are shown."""


@dataclass(frozen=True)
class Status:
    """How a night ended. word: in the chip; tone: the chip's colour; sentence: what a team wants to know first."""

    word: str
    tone: str
    sentence: str


def status_of(night: Night) -> Status:
    """What a night came to."""
    wanted, done = len(night.jobs), sum(job.state in DONE for job in night.jobs)
    if night.finished is None:
        return Status(
            "not finished", "amber", f"{done} of {_count(wanted, 'job')} done. It runs still, or was cut off."
        )
    missing = []
    if done < wanted:
        verb = "was" if wanted - done == 1 else "were"
        missing.append(f"{wanted - done} of {_count(wanted, 'job')} {verb} not measured")
    if partly := sum(job.state in DONE and bool(job.problem) for job in night.jobs):
        missing.append(f"{_count(partly, 'job')} lacked a variant")
    if broken := sum(build.state == "failed" or bool(build.problem) for build in night.builds):
        missing.append(f"{_count(broken, 'build')} failed")
    if night.problem:
        missing.append("not all of it was judged")
    if night.status == 2 and not missing:
        missing.append("not all that was wanted was done")
    regressions = len(night.regressions)
    worse = _count(regressions, "regression") if regressions else "No regression"
    if missing:
        said = f"{worse}, {'and' if regressions else 'but'} {' and '.join(missing)}."
    else:
        said = f"{worse}. All that was wanted was measured: {_count(wanted, 'job')}."
    if regressions:
        return Status("regression", "bad", said)
    return Status("farm trouble", "amber", said) if missing else Status("all well", "good", said)


def regressions_of(
    night: Night | None, verdicts: Sequence[Json], days: Mapping[str, str], keys: Collection[Key]
) -> list[dict[str, Any]]:
    """What got worse: as the night says, else (it has not ended, or nothing could be judged in it) as the ledger does.

    days: by report that has a page, when it was taken; keys: of the series that have one.
    """
    if night is not None and night.finished is not None and night.problem is None:
        chosen: list[Json] = [night.verdicts[place] for place in night.regressions]
    else:
        chosen = [verdict for verdict in verdicts if verdict["worse"] and not blames_device(verdict)]
    return [_regression(verdict, days, keys) for verdict in sorted(chosen, key=rank)]


def blames_device(verdict: Json) -> bool:
    """Whether the newest change is the device's as a whole, and no model's."""
    return blamed(verdict) == "device"


def rank(verdict: Json) -> tuple[Any, ...]:
    """The worst first: models that got worse, devices that did, what isn't clear yet, the rest; then by size."""
    if verdict["worse"]:
        order = 1 if blames_device(verdict) else 0
    else:
        order = {"undecided": 2, "same": 4}.get(verdict["verdict"], 3)
    value = (verdict.get("ratio") or {}).get("value", 1.0)
    size = float("inf") if value is None else max(value, 1 / value) if value > 0 else float("inf")
    key = verdict["key"]
    return order, -size, key["model"], key["variant"], key["device"], verdict["metric"]


def missing_of(night: Night, days: Mapping[str, str]) -> list[dict[str, str]]:
    """Builds that failed, then jobs that weren't measured. days: of the reports that have a page."""
    rows = [
        _missing(f"build of {build.model} for {build.target}", build.state, build.problem, build.remedy)
        for build in night.builds
        if build.state == "failed" or build.problem
    ]
    if night.problem:
        rows.append(_missing("the verdicts", "not judged", night.problem, "./inv ledger"))
    jobs = [job for job in night.jobs if job.state not in DONE or job.problem]
    order = {state: place for place, state in enumerate(_FIRST)}
    jobs.sort(key=lambda job: (order.get(job.state, len(order)), job.device, job.model))
    return rows + [
        _missing(f"{job.model} on {job.device}", job.state, job.problem, job.remedy)
        | {"page": report_file(job.report) if job.report and job.report in days else ""}
        for job in jobs
    ]


def nights_of(nights: Sequence[Night]) -> list[dict[str, Any]]:
    """A row a night, the newest first."""
    rows = []
    for night in reversed(nights):
        status = status_of(night)
        rows.append(
            {
                "day": moment(night.started),
                "word": status.word,
                "tone": status.tone,
                "sentence": status.sentence,
                "jobs": f"{sum(job.state in DONE for job in night.jobs)} of {len(night.jobs)}",
                "commit": (night.commit or "-")[:12],
            }
        )
    return rows


def busy(night: Night) -> str:
    """How long the devices were busy, together."""
    return show_seconds(sum(device.seconds_busy for device in night.devices))


def _missing(what: str, state: str, problem: str | None, remedy: str | None) -> dict[str, str]:
    why = problem or "no reason was given"
    return {"what": what, "state": state, "why": why, "remedy": remedy or "", "page": ""}


def _regression(verdict: Json, days: Mapping[str, str], keys: Collection[Key]) -> dict[str, Any]:
    key, changes = Key(**verdict["key"]), verdict["changes"]
    last = changes[-1] if changes else None
    return {
        "key": key,
        "metric": verdict["metric"],
        "moved": moved_text(verdict["metric"], last or verdict),
        "since": moment(days.get(last["report"], last["report"])) if last else "",
        "since_page": report_file(last["report"]) if last and last["report"] in days else "",
        "nights": last["nights"] if last else 0,
        "causes": causes_text(last) if last else "unknown",
        "reason": verdict["reason"],
        "page": series_file(key) if key in keys else "",
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
