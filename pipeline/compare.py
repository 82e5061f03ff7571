"""`compare A B`: two bundles on one device in one session, measured until it is clear or the budget is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from device_agents.bundle import Bundle
from device_agents.farm.figures import show_bytes, show_metric, show_ms
from device_agents.farm.paired import latency
from device_agents.farm.report import Report
from device_agents.farm.sequential import Looker, Rule
from device_agents.farm.versus import Line, Verdict, compare_results, overall
from edgewright.errors import BadArgument
from edgewright.progress import for_stream
from pipeline.bundles import find_pair
from pipeline.keeping import take_up, write_told
from pipeline.measuring import Bench, Protocol, bench_for, where_it_runs
from pipeline.project import Project
from pipeline.table import aligned, plain

A, B = "A", "B"


@dataclass(frozen=True)
class Compared:
    """What a comparison came to. lines: one a metric; looker: what the sequential rule went through."""

    a: Bundle
    b: Bundle
    report: Report
    lines: list[Line]
    looker: Looker

    @property
    def verdict(self) -> Verdict | None:
        """None where the report is invalid: it says nothing then."""
        return overall(self.lines) if self.report.valid else None

    def to_json(self) -> dict[str, Any]:
        rule = self.looker.rule
        return {
            "schema": "edgewright-comparison/1",
            "a": self.a.digest,
            "b": self.b.digest,
            "device": self.report.device,
            "report": self.report.id,
            "valid": self.report.valid,
            "problems": self.report.problems,
            "warnings": self.report.warnings,
            "verdict": self.verdict,
            "metrics": {line.metric: line.to_json() for line in self.lines},
            "rule": vars(rule) | {"confidence": rule.confidence},
            "pairs": self.looker.pairs,
            "looks": self.looker.looked,
        }


def compare_bundles(bench: Bench, a: Bundle, b: Bundle, rule: Rule, anyway: bool = False) -> Compared:
    """Measures two bundles in turns, asked for more while the rule wants it; the report is kept before this returns.

    anyway: also on a device in a bad state. Raises BadArgument, DeviceError, ReportNotKept.
    """
    if bench.entry.emulated:
        raise BadArgument(
            f"{bench.entry.name} is emulated: its times mean nothing, so nothing can be compared there.",
            where="--device",
            remedy="name a real device, or host for this machine; ./inv deploy says whether the answers are the same",
        )
    looker = Looker(rule)
    # A slow model's blocks end after three calls, so that the first look comes within the budget where it can.
    protocol = Protocol(
        processes=rule.first,
        ask=True,
        block_limit_seconds=max(0.5, rule.budget_s / 64),
        refuse=not anyway,
        more_s=rule.budget_s,
    )
    report = bench.run([(A, a), (B, b)], protocol, more=looker.more, heard=looker.heard)
    one, other = report.results
    if not looker.looked:
        looker.look([one, other])  # the job's time may have left none
    lines = compare_results(one, other, looker, (a.manifest.bytes, b.manifest.bytes), report.idle_mw)
    return Compared(a, b, report, lines, looker)


def compare(
    a: str, b: str, device: str | None, data: str | None, budget: float, anyway: bool, json_file: str | None
) -> Compared:
    """The task's body. budget: seconds; anyway: also on a device in a bad state. Raises EdgewrightError."""
    if not 0 < budget <= 86_400:
        raise BadArgument(f"{budget:g} seconds is no budget", where="--budget", remedy="give seconds, e.g. --budget 60")
    project = Project.here()
    take_up(project)
    pair = find_pair(project, a, b)
    if pair[0].manifest.model != pair[1].manifest.model:
        raise BadArgument(
            f"They are of different models: {pair[0].manifest.model} and {pair[1].manifest.model}.",
            where="A, B",
            remedy="./inv bench measures any bundles side by side",
        )
    bench = bench_for(project, pair, device, data, purpose="compare", progress=for_stream())
    print("\n".join(_heads(*pair, bench)), flush=True)
    found = compare_bundles(bench, *pair, Rule(budget_s=budget), anyway)
    print("\n".join(text(found)), flush=True)
    if json_file:
        write_told(json_file, found.to_json())
    return found


def _heads(a: Bundle, b: Bundle, bench: Bench) -> list[str]:
    lines = [
        f"{plain(a.manifest.model)} > {bench.target.name}     device: {where_it_runs(bench.entry, bench.target.name)}"
    ]
    for name, bundle in ((A, a), (B, b)):
        of = bundle.manifest
        lines.append(
            f"  {name}  {bundle.digest[:16]}  "
            + plain(f"{of.name}, {of.precision}, {of.runtime}, {show_bytes(of.bytes)}")
        )
    return lines


def text(found: Compared) -> list[str]:
    """What is printed: a line a metric, the device, the verdict."""
    metric = next((one["accuracy"]["name"] for one in found.report.results if one.get("accuracy")), "accuracy")
    rows = [["metric", A, B, "B beside A", "verdict"]]
    for line in found.lines:
        rows.append(
            [
                line.metric,
                _value(line.metric, line.a, metric),
                _value(line.metric, line.b, metric),
                said(line, metric),
                line.why if line.verdict is None else line.word,
            ]
        )
    lines = ["", *aligned(rows)]
    report = found.report
    state = "fine" if report.valid and not report.warnings else "see below" if report.valid else "not fit to measure"
    lines.append(
        f"  device   {state}{_canary(report)}; {found.looker.pairs} process pairs, {found.looker.looked} looks"
    )
    lines += [f"  warning: {plain(warning)}" for warning in report.warnings]
    if not report.valid:
        lines.append(f"  INVALID: these figures can't be trusted: {'; '.join(map(plain, report.problems))}")
    lines.append(f"  report   {report.id}")
    if found.verdict is not None:
        worse = [line.metric for line in found.lines if line.verdict == "worse"]
        why = f": {', '.join(worse)}" if worse else ""
        lines.append(f"  verdict  B is {'the same' if found.verdict == 'same' else found.verdict}{why}")
    return lines


def said(line: Line, metric: str = "accuracy") -> str:
    """A change in words: `2.1 % slower [1.6 2.7]`; -0.3 points of an accuracy."""
    if line.change is None:
        return ""
    if line.metric == "accuracy":
        return f"{line.change * 100:+.2f} points" if line.change else "equal"
    if line.change == 0 and not line.low and not line.high:
        return "equal"
    ends = "" if line.low is None or line.high is None else f" [{line.low * 100:+.1f} {line.high * 100:+.1f}]"
    return f"{line.change * 100:+.1f} %{ends}"


def _value(name: str, value: float | None, metric: str) -> str:
    if value is None:
        return "-"
    if name in ("latency", "load time"):
        return f"{show_ms(value / 1e6)} ms"
    if name in ("memory", "size"):
        return show_bytes(value)
    return show_metric(metric, value) if name == "accuracy" else f"{value:.3g} mJ"


def _canary(report: Report) -> str:
    """How steady the device was, by the fixed model that ran along."""
    canary = latency(report.canary_model) if report.canary_model else None
    ratios = [one["canary_ratio"] for result in report.results for one in result["blocks"] if one.get("canary_ratio")]
    again = sum(len(result.get("redone") or []) for result in report.results)
    told = f", canary model {show_ms(canary.p50_ms)} ms" if canary else ""
    told += f", canary up to {max(ratios):.2f}x" if ratios else ""
    return told + (f", {again} blocks done again" if again else "")
