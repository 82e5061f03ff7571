"""Build, let the device measure, choose: the main job from recipe and target to a shipped bundle and its report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.bundle import read_bundle
from device_agents.errors import BundleError
from device_agents.farm import page
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry, Inventory
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.report import Report
from device_agents.farm.verdict import Metric
from edgewright.errors import EdgewrightError
from edgewright.progress import Progress
from pipeline.build import Builder, Done, bundle_folder
from pipeline.metrics import metric
from pipeline.outcome import Measured, outcome_of
from pipeline.plan import Plan, Variant, make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.steps.base import Places
from pipeline.steps.samples import FILE as EVALUATION
from pipeline.store import Artifact
from targets.schema import read_target

TOP1 = "top-1"


class NothingBuilt(EdgewrightError):
    """No variant passed its checks, so there is nothing to measure."""


class WrongMachine(EdgewrightError):
    """A device of another processor than its target's."""


@dataclass
class Deploy:
    """One deploy. `say` gets each step as it is done, `note` a line of plain text."""

    project: Project
    model: str
    target: str
    device: str | None
    progress: Progress
    say: Callable[[Done], None]
    note: Callable[[str], None]
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        self.plan = make_plan(read_recipe(self.model, self.project.root), read_target(self.target, self.project.root))
        self.entry = Inventory.read(self.project.farm_file).choose(self.plan.target.name, self.device)

    def run(self) -> dict[str, Any]:
        """Builds, measures, judges, writes report and page; returns the outcome. Raises EdgewrightError."""
        # The device first: a wrong key or a board without room should not cost minutes of training to find out.
        with self._open() as device:
            self._check_machine(device)
            device.prepare(self.plan.target.runtime)
        built = builder(self.project, self.plan, self.progress, self.say, self.note).build(
            self.plan, [self.plan.samples, *(variant.bundle for variant in self.plan.variants)]
        )
        bundles = self._lay_out(built)
        if not bundles:
            raise NothingBuilt(
                "No variant passed its checks",
                where=self.plan.recipe.name,
                remedy="see the steps above; the bounds are under check in the recipe",
            )
        samples = built[self.plan.samples].artifact
        assert samples is not None
        with self._open() as device:
            report, metrics = self._measure(device, bundles, samples)
        # Before anything is judged or printed: a report that was taken is never lost.
        path = report.write(self.project.state / "reports")
        measured = [self._measured(variant, built, bundles, report, metrics) for variant in self.plan.variants]
        paths = {"report": path, "page": path.with_suffix(".html")}
        outcome = outcome_of(self.plan, built, measured, report, bundles, paths, self.project)
        page.write(paths["page"], outcome, report)
        return outcome

    def _check_machine(self, device: Device) -> None:
        wanted, found = self.plan.target.machines, device.system.machine
        if wanted and found not in wanted and not self.entry.stand_in:
            raise WrongMachine(
                f"{self.entry.name} is a {found}; a {self.plan.target.name} is {' or '.join(wanted)}",
                where=f"{self.project.farm_file}: devices.{self.entry.name}.target",
                remedy="name the target that it is (./inv targets), or say that it only stands in: stand_in = true",
            )

    def _open(self) -> Device:
        return open_device(self.entry, state=self.project.state, cache=self.project.cache, progress=self.progress)

    def _lay_out(self, built: dict[str, Done]) -> dict[str, Path]:
        """Every bundle as a folder named by its digest; checked, and made again where it is damaged."""
        folders = {}
        for variant in self.plan.variants:
            artifact = built[variant.bundle].artifact
            if artifact is None:
                continue
            folder = self.project.state / "bundles" / artifact.summary["digest"]
            try:
                read_bundle(folder)
            except BundleError:
                bundle_folder(artifact, folder)
                read_bundle(folder)
            folders[variant.name] = folder
        return folders

    def _measure(self, device: Device, bundles: dict[str, Path], samples: Artifact) -> tuple[Report, dict[str, Metric]]:
        target, recipe = self.plan.target, self.plan.recipe
        own = recipe.metric.name != TOP1
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            npz = Path(folder) / EVALUATION
            npz.symlink_to(samples.path(EVALUATION))
            evaluation = device.push_data(npz)
            outputs = (
                {name: f"{device.root}/data/outputs-{place}.npy" for place, name in enumerate(bundles)} if own else {}
            )
            job = Job(
                model=recipe.name,
                target=target.name,
                variants=[
                    JobVariant(
                        name=name,
                        bundle=device.install(path),
                        format=target.format,
                        runtime=target.runtime,
                        save_outputs=outputs.get(name),
                    )
                    for name, path in bundles.items()
                ],
                evaluation=evaluation,
                threads=target.threads,
                cpus=target.cpus if target.cpus == "auto" else list(target.cpus),
                wait_s=self.wait_s,
            )
            report = device.measure(job)
            metrics: dict[str, Metric] = {}
            for result in report.results:
                if own:
                    if result.get("accuracy"):
                        value = self._own_metric(device, outputs[result["name"]], samples, Path(folder))
                        metrics[result["name"]] = Metric(recipe.metric.name, value)
                elif accuracy := result.get("accuracy"):
                    metrics[result["name"]] = Metric(TOP1, accuracy["value"])
        return report, metrics

    def _own_metric(self, device: Device, remote: str, samples: Artifact, folder: Path) -> float:
        """The recipe's own metric on what the device gave."""
        import numpy as np

        local = folder / "outputs.npy"
        device.connection.pull(remote, local)
        targets = np.load(samples.path(EVALUATION), allow_pickle=False)["y"]
        return metric(self.plan.recipe.metric.name, self.plan.recipe.folder)(
            np.load(local, allow_pickle=False), targets
        )

    def _measured(
        self,
        variant: Variant,
        built: dict[str, Done],
        bundles: dict[str, Path],
        report: Report,
        metrics: dict[str, Metric],
    ) -> Measured:
        trouble = built[variant.bundle].trouble
        if variant.name not in bundles:
            return Measured(variant, None, None, None, f"{trouble.what} ({trouble.where})" if trouble else "not built")
        manifest = read_bundle(bundles[variant.name]).manifest.model_dump()
        result = next((one for one in report.results if one["name"] == variant.name), None)
        return Measured(
            variant, manifest, result, metrics.get(variant.name), None if result else "the device gave no result"
        )


def builder(
    project: Project, plan: Plan, progress: Progress, say: Callable[[Done], None], note: Callable[[str], None]
) -> Builder:
    """The builder for a plan, over the project's store."""
    return Builder(project.store, Places(plan.recipe.folder, project.cache, project.data), progress, say, note)


def where_it_runs(entry: DeviceEntry, target: str) -> str:
    """The device as the first line says it."""
    if entry.kind == "local":
        return f"this machine, standing in (no {target} in farm.toml)" if entry.stand_in else "this machine"
    if entry.stand_in:
        return f"{entry.name} ({entry.address}), standing in for a {target}"
    return f"{entry.name} ({entry.address})" + (", emulated: its times mean nothing" if entry.emulated else "")
