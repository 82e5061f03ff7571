"""Build, let the device measure, choose: the main job from recipe and target to a shipped bundle and its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.bundle import read_bundle
from device_agents.farm import page
from device_agents.farm.opening import AnyDevice
from device_agents.farm.report import Report
from device_agents.farm.verdict import Judgement, Metric
from device_agents.farm.why import Cause, asked
from edgewright.errors import EdgewrightError
from edgewright.progress import Progress
from pipeline.build import Done, builder
from pipeline.bundles import lay_out
from pipeline.keeping import keep, take_up
from pipeline.measuring import Bench
from pipeline.outcome import Measured, outcome_of
from pipeline.parity import Parity
from pipeline.plan import Plan, Variant, make_plan, with_a_base
from pipeline.project import Project
from pipeline.reach import device_of, open_unreserved
from pipeline.recipe import read_recipe
from pipeline.search.default import completed, within
from pipeline.session import Session
from pipeline.store import Artifact
from targets.schema import read_target


class NothingBuilt(EdgewrightError):
    """No variant passed its checks, so there is nothing to measure."""


class WrongMachine(EdgewrightError):
    """A device of another processor than its target's."""


@dataclass
class Deploy:
    """One deploy. `say` gets each step as it is done, `note` a line of plain text, `planned` the plan once the device
    has said which of the target's runtimes it can have."""

    project: Project
    model: str
    target: str
    device: str | None
    progress: Progress
    say: Callable[[Done], None]
    note: Callable[[str], None]
    planned: Callable[[Plan], None]
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        self.recipe = read_recipe(self.model, self.project.root)
        self.kind = read_target(self.target, self.project.root)
        self.entry = device_of(self.project, self.kind, self.device)

    def run(self) -> dict[str, Any]:
        """Builds, measures, judges, writes report and page; returns the outcome. Raises EdgewrightError."""
        take_up(self.project, self.note)
        # The device first: a wrong key or a board without room should not cost minutes of training to find out.
        with self._open() as device:
            self._check_machine(device)
            _, without = device.available(self.kind.runtime)
        recipe = completed(
            self.project, self.recipe, self.kind, self.entry, self.device, self.progress, self.say, self.note
        )
        plan = make_plan(recipe, within(self.kind, self.recipe), without=without)
        self.planned(plan)
        built = builder(self.project, plan, self.progress, self.say, self.note).build(
            plan, [plan.samples, *(variant.bundle for variant in plan.variants)]
        )
        bundles = lay_out(self.project, plan, built)
        if not bundles:
            raise _nothing_built(plan, built)
        plan.variants = with_a_base(plan.variants, set(bundles))
        samples = built[plan.samples].artifact
        assert samples is not None
        models, checks = _behind(plan, built, set(bundles))
        session = Session(plan, self.entry, samples, bundles, models, checks, self.wait_s, commit=self.project.commit())
        with self._open() as device:
            # Each runtime from where the target says: a device's own may have a GPU that ours has not.
            device.available(plan.target.runtime)
            report = session.measured(device)
            # Before anything else is asked of the device, judged or printed: a report that was taken is never lost.
            path = self._kept(report)
            metrics, parities = session.answers(device, report)
            measured = [_measured(variant, built, bundles, report, metrics, parities) for variant in plan.variants]
            paths = {"report": path, "page": path.with_suffix(".html")}
            gate = _Gate(self._bench(plan), device, bundles, report)
            outcome = outcome_of(plan, built, measured, report, bundles, paths, self.project, gate, gate.warnings)
        try:
            page.write(paths["page"], outcome, report)
        except OSError as error:
            self.note(f"warning: the page can't be written: {error}")
        return outcome

    def _kept(self, report: Report) -> Path:
        """Where the report is. Raises ReportNotKept."""
        filed = keep(self.project, report, self.note)
        return filed.path or self.project.state / "reports" / f"{report.id}.json"

    def _bench(self, plan: Plan) -> Bench:
        """What asks why variants do not pay. It takes no answers, so it needs no samples."""
        return Bench(self.project, self.entry, plan.target, purpose="gate", wait_s=self.wait_s, progress=self.progress)

    def _check_machine(self, device: AnyDevice) -> None:
        wanted, found = self.kind.machines, device.system.machine
        if wanted and found not in wanted and not self.entry.stand_in:
            raise WrongMachine(
                f"{self.entry.name} is a {found}; a {self.kind.name} is {' or '.join(wanted)}",
                where=f"{self.project.farm_file}: devices.{self.entry.name}.target",
                remedy="name the target that it is (./inv targets), or say that it only stands in: stand_in = true",
            )

    def _open(self) -> AnyDevice:
        return open_unreserved(self.project, self.entry, self.progress)


class _Gate:
    """Asks the device of a deploy why variants do not pay there; `warnings`: what went wrong with that."""

    def __init__(self, bench: Bench, device: AnyDevice, folders: Mapping[str, Path], report: Report) -> None:
        self.warnings: list[str] = []
        self._bench = dataclasses.replace(bench, note=lambda line: self.warnings.append(line.removeprefix("warning: ")))
        self._device, self._folders, self._report = device, folders, report

    def __call__(self, judgements: Sequence[Judgement]) -> dict[str, Cause]:
        names = [name for name in asked(judgements) if name in self._folders]
        if not names:
            return {}
        from pipeline.gate import explain

        bundles = {name: read_bundle(self._folders[name]) for name in names}
        return explain(self._bench, self._device, bundles, self._report, judgements)


def _nothing_built(plan: Plan, built: dict[str, Done]) -> EdgewrightError:
    """What to raise where no variant came out: the one cause where all have the same, else that none passed."""
    troubles = {
        id(trouble): trouble for variant in plan.variants if (trouble := built[variant.bundle].trouble) is not None
    }
    if len({trouble.what for trouble in troubles.values()}) == 1:
        return next(iter(troubles.values()))
    return NothingBuilt(
        "No variant passed its checks",
        where=plan.recipe.name,
        remedy="see the steps above; the bounds are under check in the recipe",
    )


def _behind(plan: Plan, built: dict[str, Done], names: set[str]) -> tuple[dict[str, Artifact], dict[str, Artifact]]:
    """By variant, the artifacts of the file that is shipped and of its check."""
    models, checks = {}, {}
    for variant in plan.variants:
        if variant.name in names:
            tested = plan.nodes[variant.check].inputs
            model, check = built[tested.get("quantised", tested["float"])].artifact, built[variant.check].artifact
            assert model is not None and check is not None
            models[variant.name], checks[variant.name] = model, check
    return models, checks


def _measured(
    variant: Variant,
    built: dict[str, Done],
    bundles: dict[str, Path],
    report: Report,
    metrics: dict[str, Metric],
    parities: dict[str, Parity],
) -> Measured:
    trouble = built[variant.bundle].trouble
    if variant.name not in bundles:
        return Measured(variant, None, None, None, f"{trouble.what} ({trouble.where})" if trouble else "not built")
    manifest = read_bundle(bundles[variant.name]).manifest.model_dump()
    result = next((one for one in report.results if one["name"] == variant.name), None)
    return Measured(
        variant,
        manifest,
        result,
        metrics.get(variant.name),
        None if result else "the device gave no result",
        parities.get(variant.name),
    )
