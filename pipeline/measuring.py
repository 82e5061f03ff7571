"""Finished bundles on a device, without building anything: the job over them, and its report, kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle
from device_agents.farm.canary_model import with_canary
from device_agents.farm.inventory import HOST, DeviceEntry, Inventory, stand_in
from device_agents.farm.job import Job, JobVariant, Purpose
from device_agents.farm.opening import AnyDevice
from device_agents.farm.report import Report
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.progress import Progress, Silent
from pipeline.keeping import Note, keep, on_stderr
from pipeline.project import Project
from pipeline.reach import device_of, open_unreserved
from targets.schema import TENSORRT, Runtime, Target, read_target

More = Callable[[list[dict[str, Any]]], int]
Heard = Callable[[dict[str, Any]], None]
ENGINE_S = 600.0
"""A variant's share of a job's time where TensorRT builds an engine for it, which takes minutes."""


@dataclass(frozen=True)
class Protocol:
    """How long to look. processes: fresh ones a bundle, of which `ask` may add more; blocks: timed ones a process, of
    samples or seconds at least; the rest as in device_agents.farm.job.Job."""

    processes: int = 4
    ask: bool = False
    blocks: int = 8
    samples: int = 10
    block_seconds: float = 0.06
    warmup_seconds: float = 0.15
    memory_passes: int = 3
    block_limit_seconds: float = 10.0
    refuse: bool = True
    more_s: float = 0.0

    def fields(self) -> dict[str, Any]:
        """As a job has them. more_s, the seconds that `ask` may cost, go into the job's time limit."""
        given = {name: value for name, value in vars(self).items() if name not in ("refuse", "more_s")}
        return given | {"on_bad_state": "refuse" if self.refuse else "measure"}


def time_limit_s(variants: Sequence[JobVariant]) -> float:
    """What a job over these variants may take, but for what it is asked besides."""
    tensorrt = any(TENSORRT in variant.providers for variant in variants)
    # The canary model is one more.
    return max(600.0, (ENGINE_S if tensorrt else 60.0) * (len(variants) + 1))


@dataclass
class Bench:
    """Bundles of one model and target on one device. data: an .npz with x and y, for their accuracy; None for none."""

    project: Project
    entry: DeviceEntry
    target: Target
    purpose: Purpose = "bench"
    data: Path | None = None
    wait_s: float = 0.0
    progress: Progress = field(default_factory=Silent)
    note: Note = on_stderr

    def run(
        self,
        named: Sequence[tuple[str, Bundle]],
        protocol: Protocol,
        more: More | None = None,
        heard: Heard | None = None,
    ) -> Report:
        """One job over bundles by name; its report is on the disk and in the ledger when this returns.

        Raises DeviceError, ReportNotKept.
        """
        with self.open() as device:
            report = self.measured(device, named, protocol, more, heard)
        keep(self.project, report, self.note)
        return report

    def open(self) -> AnyDevice:
        """The device. Raises DeviceError; DeviceReserved before anything is sent."""
        return open_unreserved(self.project, self.entry, self.progress)

    def measured(
        self,
        device: AnyDevice,
        named: Sequence[tuple[str, Bundle]],
        protocol: Protocol,
        more: More | None = None,
        heard: Heard | None = None,
    ) -> Report:
        """The report of one job on an open device, not yet kept."""
        by_name: dict[str, Runtime] = {runtime.name: runtime for runtime in self.target.runtime}
        needed = dict.fromkeys(bundle.manifest.runtime for _, bundle in named)
        device.available([by_name[name] for name in needed if name in by_name])
        variants = []
        for name, bundle in named:
            manifest, runtime = bundle.manifest, by_name.get(bundle.manifest.runtime)
            variants.append(
                JobVariant(
                    name=name,
                    bundle=device.install(bundle.folder),
                    format=manifest.format,
                    runtime=manifest.runtime,
                    precision=manifest.precision,
                    providers=list(runtime.providers) if runtime else [],
                    options={one: dict(given) for one, given in runtime.options.items()} if runtime else {},
                )
            )
        job = Job(
            model=named[0][1].manifest.model,
            target=self.target.name,
            purpose=self.purpose,
            variants=variants,
            evaluation=self._pushed(device),
            threads=self.target.threads,
            cpus=self.target.cpus if self.target.cpus == "auto" else list(self.target.cpus),
            sensors=self.target.sensors,
            wait_s=self.wait_s,
            time_limit_s=time_limit_s(variants) + protocol.more_s,
            max_temperature_c=self.target.start_below_c,
            **(emulated() if self.entry.emulated else protocol.fields()),
        )
        return device.measure(with_canary(job, device.install), heard, more, commit=self.project.commit())

    def _pushed(self, device: AnyDevice) -> str | None:
        """The evaluation data on the device; a phone by adb gives no answers, so it needs none."""
        if self.data is None or self.entry.kind == "adb":
            return None
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            npz = Path(folder) / "evaluation.npz"
            npz.symlink_to(self.data.resolve())
            return device.push_data(npz)


def emulated() -> dict[str, Any]:
    """Of a job's fields those for an emulated device, whose times mean nothing, so that none are taken."""
    from pipeline.steps.checking import PARITY

    return {"processes": 0, "evaluation_samples": PARITY}


def bench_for(project: Project, bundles: Sequence[Bundle], device: str | None, data: str | None, **given: Any) -> Bench:
    """A Bench for bundles of one target. device: a name in farm.toml, `host` for this machine, None for the target's
    first. data: an .npz; None takes the recipe's evaluation samples where they were built.

    Raises BadArgument, UnknownTarget, UnknownDevice, WrongTarget.
    """
    targets = sorted({bundle.manifest.target for bundle in bundles})
    if len(targets) > 1:
        raise BadArgument(
            f"The bundles are for different targets: {', '.join(targets)}.",
            where="BUNDLE",
            remedy="name bundles of one target; ./inv ledger.show says which is which",
        )
    target = read_target(targets[0], project.root)
    inventory = Inventory.read(project.farm_file)
    here = device == HOST and HOST not in inventory.entries
    entry = stand_in(target.name) if here else device_of(project, target, device)
    path = Path(data).expanduser() if data else evaluation_of(project, bundles[0].manifest.model, target)
    if data and path is not None and not path.is_file():
        raise BadArgument("There is no such file of samples", where=data, remedy="name an .npz with x and y")
    return Bench(project, entry, target, data=path, **given)


def evaluation_of(project: Project, model: str, target: Target) -> Path | None:
    """The recipe's evaluation samples, where a build has left them; None where it hasn't, or can't be planned here."""
    from pipeline.plan import make_plan
    from pipeline.recipe import read_recipe
    from pipeline.steps.samples import FILE

    try:
        plan = make_plan(read_recipe(model, project.root), target)
    except (EdgewrightError, ImportError):
        return None
    artifact = project.store.find(plan.nodes[plan.samples].fingerprint)
    return artifact.path(FILE) if artifact else None


def where_it_runs(entry: DeviceEntry, target: str) -> str:
    """The device as the first line says it."""
    if entry.kind == "local":
        return f"this machine, standing in (no {target} in farm.toml)" if entry.stand_in else "this machine"
    if entry.stand_in:
        return f"{entry.name} ({entry.where}), standing in for a {target}"
    address = f" ({entry.where})" if entry.where else ""
    return f"{entry.name}{address}" + (", emulated: its times mean nothing" if entry.emulated else "")
