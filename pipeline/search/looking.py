"""Bundles of a search on the device: short looks at a few of them, and the last session with the test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from device_agents.bundle import read_bundle
from device_agents.errors import DeviceError
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.paired import latency, speedup
from device_agents.farm.report import Report
from device_agents.farm.verdict import Judgement, Metric
from device_agents.farm.why import Cause, asked
from edgewright.progress import Progress
from pipeline.build import Done
from pipeline.bundles import lay_out
from pipeline.keeping import keep
from pipeline.measuring import Bench, Protocol
from pipeline.parity import Parity
from pipeline.plan import Plan
from pipeline.project import Project
from pipeline.search.candidates import Candidate, Workshop, by_way
from pipeline.search.pricing import Way
from pipeline.session import Session
from pipeline.store import Artifact
from targets.schema import Target

SHORT = Protocol(processes=2, blocks=4, block_seconds=0.04, warmup_seconds=0.1, memory_passes=1, refuse=False)
"""A look that tells 10 % apart: what is chosen is measured again at the end."""


@dataclass
class Looking:
    """What every look of a search has in common."""

    project: Project
    entry: DeviceEntry
    target: Target
    progress: Progress
    note: Callable[[str], None]

    def without(self) -> dict[str, str]:
        """Runtimes of the target that the device can't have, and why. Raises DeviceError."""
        with self.bench.open() as device:
            _, without = device.available(self.target.runtime)
        return dict(without)

    @property
    def bench(self) -> Bench:
        """What measures bundles there."""
        return Bench(self.project, self.entry, self.target, purpose="shrink", progress=self.progress, note=self.note)

    def short(self, base: str, folders: Mapping[str, Path]) -> dict[str, dict[str, float]]:
        """By variant, {"ms", "speedup"}: against the variant `base`, in turns in one session. Raises DeviceError."""
        report = self.bench.run([(name, read_bundle(folder)) for name, folder in folders.items()], SHORT)
        results = {result["name"]: result for result in report.results}
        found = {}
        for name, result in results.items():
            time, ratio = latency(result), speedup(results[base], result)
            if time is not None and (ratio is not None or name == base):
                found[name] = {"ms": time.p50_ms, "speedup": ratio.value if ratio and name != base else 1.0}
        return found

    def last(self, plan: Plan, built: Mapping[str, Done], folders: Mapping[str, Path]) -> tuple[Report, Path, Answers]:
        """One session over a plan's variants with their metrics on the test part; the report is kept.

        Raises DeviceError, ReportNotKept.
        """
        samples = built[plan.samples].artifact
        assert samples is not None
        models, checks = behind(plan, built, folders)
        session = Session(plan, self.entry, samples, dict(folders), models, checks, 0.0, commit=self.project.commit())
        with self.bench.open() as device:
            device.available(plan.target.runtime)
            report = session.measured(device)
            filed = keep(self.project, report, self.note)
            metrics, parities = session.answers(device, report)
        path = filed.path or self.project.state / "reports" / f"{report.id}.json"
        return report, path, Answers(metrics, parities)

    def causes(
        self, folders: Mapping[str, Path], report: Report, judgements: Sequence[Judgement]
    ) -> Mapping[str, Cause]:
        """By variant, why it does not pay, as the device shows it; {} where it is not there to be asked."""
        bundles = {name: read_bundle(folders[name]) for name in asked(judgements) if name in folders}
        if not bundles:
            return {}
        from pipeline.gate import explain

        bench = replace(self.bench, purpose="gate")
        try:
            with bench.open() as device:
                return explain(bench, device, bundles, report, judgements)
        except DeviceError as error:
            self.note(f"warning: why variants do not pay was not found out: {error.what}")
            return {}


def look_at(
    looking: Looking, workshop: Workshop, candidates: Sequence[Candidate], ways: Sequence[Way], base: Way
) -> dict[str, dict[str, float]]:
    """By candidate, ms by its way's variant, each candidate in one way beside the trained network; {} without that.

    Raises DeviceError, and what building raises.
    """
    distinct = list({way.variant: way for way in [base, *ways]}.values())
    only = {one.name: way.variant for one, way in zip(candidates, ways, strict=True)}
    plan, built = workshop.bundles(candidates, distinct, only=only)
    folders = laid_out(looking.project, plan, built)
    if base.variant not in folders:
        return {}
    times = looking.short(base.variant, folders)
    found: dict[str, dict[str, float]] = {}
    for candidate in candidates:
        for way, variant in by_way(plan, candidate.name, distinct).items():
            if variant.name in times:
                # By its ratio to the base of the same session: the machine may have been slower then.
                found.setdefault(candidate.name, {})[way] = base.ms / times[variant.name]["speedup"]
    return found


@dataclass(frozen=True)
class Answers:
    """By variant: the metric on the test part; what the device answered beside what was checked here."""

    metrics: Mapping[str, Metric]
    parities: Mapping[str, Parity]


def behind(
    plan: Plan, built: Mapping[str, Done], names: Mapping[str, Any]
) -> tuple[dict[str, Artifact], dict[str, Artifact]]:
    """By variant, the artifacts of the file that is shipped and of its check."""
    models, checks = {}, {}
    for variant in plan.variants:
        if variant.name in names:
            tested = plan.nodes[variant.check].inputs
            model = built[tested.get("quantised", tested["float"])].artifact
            check = built[variant.check].artifact
            assert model is not None
            assert check is not None
            models[variant.name], checks[variant.name] = model, check
    return models, checks


def laid_out(project: Project, plan: Plan, built: Mapping[str, Done]) -> dict[str, Path]:
    """By variant, its bundle's folder; a variant that failed has none."""
    return lay_out(project, plan, dict(built))


def validation_of(plan: Plan, built: Mapping[str, Done], name: str) -> float | None:
    """What the check step found a variant's file to reach on the validation part."""
    variant = next(one for one in plan.variants if one.name == name)
    check = built.get(variant.check)  # none where the export before it was refused
    if check is None or check.artifact is None:
        return None
    summary = check.artifact.summary
    found = summary.get(f"metric_{variant.precision}", summary.get("metric_float"))
    return None if found is None else float(found)
