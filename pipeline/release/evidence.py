"""What devices said of a bundle before it was accepted: the ledger's figures, by device, fixed by the acceptance.

A ledger grows; what was accepted does not. So the same bundle and version give the same release later.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from device_agents.farm.paired import calls_ns, latency, percentile, ratio_of

if TYPE_CHECKING:
    from device_agents.farm.ledger.entries import Acceptance, ReportEntry
    from device_agents.farm.ledger.ledger import Ledger

Worth = Literal["valid", "standing in", "invalid", "emulated"]
_BEST_FIRST: tuple[Worth, ...] = ("valid", "standing in", "invalid", "emulated")
_DIGITS = 4


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds that hold it with 95 % confidence; both None where there was too little to tell."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Figures:
    """What one report says of the bundle on one device. Times in ms, memory in bytes, energy in mJ a call.

    worth: only a valid report of a real device is a measurement. date: UTC, YYYY-MM-DD. metric: (name, value, samples),
    as taken on the device. reports: how many there are of this device, this one being the newest of the best worth.
    """

    device: str
    worth: Worth
    date: str
    report: str
    reports: int
    runtime: str
    runtime_version: str | None = None
    os: str | None = None
    kernel: str | None = None
    p50_ms: Interval | None = None
    p90_ms: Interval | None = None
    load_ms: float | None = None
    peak_bytes: int | None = None
    energy_mj: float | None = None
    metric: tuple[str, float, int] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """By device, what is known of the bundle. commit: of the project that measured it last, None where none did.

    unmeasured: whether none of it is a valid report of a real device.
    """

    devices: tuple[Figures, ...] = ()
    unmeasured: bool = False
    commit: str | None = None

    @property
    def scored(self) -> Figures | None:
        """The best device that took the metric; what is invalid is none."""
        return next((one for one in self.devices if one.metric is not None and one.worth != "invalid"), None)


def gather(ledger: Ledger, acceptance: Acceptance, metric: str) -> Evidence:
    """The evidence that an acceptance rests on: of its bundle, up to the report that it names, else up to its time.

    metric: the recipe's; a device's own figure is taken over only where it is that one. Raises what the ledger does.
    """
    found: dict[str, list[_Entry]] = defaultdict(list)
    for one in _reports(ledger, acceptance):
        found[one.entry.device].append(one)
    figures = [
        _figures(ledger, max(entries, key=lambda one: one.rank), len(entries), acceptance.bundle, metric)
        for _, entries in sorted(found.items())
    ]
    figures.sort(key=lambda one: _BEST_FIRST.index(one.worth))
    commits = [(one.entry.seq, one.entry.git_commit) for entries in found.values() for one in entries]
    named = [commit for _, commit in sorted(commits, key=lambda pair: pair[0]) if commit]
    return Evidence(tuple(figures), not any(one.worth == "valid" for one in figures), named[-1] if named else None)


@dataclass(frozen=True)
class _Entry:
    entry: ReportEntry
    worth: Worth

    @property
    def rank(self) -> tuple[int, int]:
        """Greatest for the newest report of the best worth."""
        return -_BEST_FIRST.index(self.worth), self.entry.seq


def _reports(ledger: Ledger, acceptance: Acceptance) -> list[_Entry]:
    """Every report with a result of the bundle that was there when it was accepted."""
    failed: dict[str, bool] = {}
    for one in ledger.results(bundle=acceptance.bundle):
        if not one.canary:
            failed.setdefault(one.report, one.error is not None)
    found = [_Entry(entry, _worth(entry, bad)) for id_, bad in failed.items() for entry in ledger.reports(id=id_)]
    if acceptance.report is None:
        return [one for one in found if one.entry.finished <= acceptance.accepted]
    (last,) = ledger.reports(id=acceptance.report)
    return [one for one in found if one.entry.seq <= last.seq]


def _worth(entry: ReportEntry, failed: bool) -> Worth:
    if entry.emulated:
        return "emulated"
    if failed or not entry.valid:
        return "invalid"
    return "standing in" if entry.stand_in else "valid"


def _figures(ledger: Ledger, one: _Entry, count: int, digest: str, metric: str) -> Figures:
    """The bundle's figures in one report, to four digits: more would be noise, and another libm's."""
    entry, report = one.entry, ledger.report(one.entry.id)
    result = next(result for result in report.results if result["bundle"] == digest)
    told, accuracy, runtime = latency(result), result.get("accuracy") or {}, result.get("runtime") or report.runtime
    # An emulated device tells nothing of time or memory, nor of more than a few samples.
    timed = told is not None and one.worth != "emulated" and not result.get("error")
    loads = [load["load_ns"] / 1e6 for load in result.get("loads") or []] if timed else []
    value = accuracy.get("value") if timed and accuracy.get("name") == metric else None
    problems = [*report.problems, *([f"it failed: {result['error']}"] if result.get("error") else [])]
    return Figures(
        device=entry.device,
        worth=one.worth,
        date=entry.started[:10],
        report=entry.id,
        reports=count,
        runtime=str(runtime.get("name") or ""),
        runtime_version=runtime.get("version"),
        os=entry.os,
        kernel=entry.kernel,
        p50_ms=_interval(result, 0.5, told.p50_ms) if timed and told else None,
        p90_ms=_interval(result, 0.9, told.p90_ms) if timed and told else None,
        load_ms=_rounded(median(loads)) if loads else None,
        peak_bytes=result.get("peak_bytes") if timed else None,
        energy_mj=_rounded(result["energy_mj"]) if timed and result.get("energy_mj") is not None else None,
        metric=(metric, _rounded(float(value)), int(accuracy.get("n") or 0)) if value is not None else None,
        problems=tuple(" ".join(str(problem).split()) for problem in problems),
    )


def _interval(result: Mapping[str, Any], share: float, value: float) -> Interval:
    """A percentile of all calls, and the interval of the blocks' own, resampled as speed-ups are (farm/paired.py)."""
    ratio = ratio_of(_by_process(result.get("blocks") or [], share))
    if ratio is None:
        return Interval(_rounded(value))
    low, high = min(ratio.low / 1e6, value), max(ratio.high / 1e6, value)
    return Interval(_rounded(value), _rounded(low), _rounded(high))


def _by_process(blocks: Iterable[Mapping[str, Any]], share: float) -> list[list[float]]:
    """Logarithms of each block's percentile in ns, by process: a time is a ratio to a nanosecond."""
    groups: dict[int, list[float]] = defaultdict(list)
    for block in blocks:
        if times := sorted(calls_ns(block)):
            groups[int(block.get("process") or 0)].append(math.log(percentile(times, share)))
    return [groups[process] for process in sorted(groups)]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
