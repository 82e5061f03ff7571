"""What a release must show on a device before it stays there: the sample's answer, and no more time than is allowed."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from device_agents.agent.releases import FOLDER
from device_agents.bundle import MANIFEST, Manifest
from device_agents.farm.ask import ask
from device_agents.farm.canary_model import with_canary
from device_agents.farm.device import Device
from device_agents.farm.figures import show_ms
from device_agents.farm.job import Job, JobVariant, RemoteBundle
from device_agents.farm.paired import Ratio, latency
from device_agents.farm.report import Report
from device_agents.farm.rollout.shipment import Shipment
from device_agents.farm.rollout.told import ReleaseThere
from device_agents.farm.sequential import Looker, Rule
from edgewright.errors import EdgewrightError
from edgewright.files import sha256_bytes
from pipeline.keeping import Note, keep, on_stderr
from pipeline.measuring import Protocol, time_limit_s
from pipeline.project import Project
from pipeline.release.evidence import Figures
from pipeline.release.on_device import Sample
from targets.schema import Runtime, Target

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry

BEFORE, NOW = "before", "now"
SLACK = 0.25
"""What a device may be slower than the figures of the release, beyond what is allowed beside the release before: one
board differs from the next, and one day from another."""
_COOL_S = 30.0
"""A hot device is not waited for longer: the release is current meanwhile."""


class WrongAnswer(EdgewrightError):
    """The release answers its own sample otherwise on the device."""


class TooSlow(EdgewrightError):
    """The release takes longer on the device than is allowed."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", report: str | None = None) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.report = report


@dataclass(frozen=True)
class Timed:
    """What was seen of the time, in words; report: of the job, None where none was run."""

    said: str
    report: str | None = None


@dataclass
class Tryout:
    """One release on trial, on device after device. figures: what it was measured at before it was released; slower:
    the share by which it may be slower than the release before; budget_s: for telling so."""

    project: Project
    target: Target
    shipment: Shipment
    figures: Sequence[Figures]
    slower: float = 0.05
    budget_s: float = 30.0
    wait_s: float = 60.0
    note: Note = on_stderr
    _filing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def runtime(self) -> Runtime | None:
        """The target's entry for what runs the model."""
        name = self.shipment.manifest.runtime
        return next((one for one in self.target.runtime if one.name == name), None)

    @cached_property
    def sample(self) -> Sample:
        """What it is asked, and what it must answer."""
        return Sample.read(self.shipment.folder)

    def prepare(self, device: Device) -> None:
        """Has the sample here and the runtime on the device before anything is switched.

        Raises RuntimeUnavailable, NoRoom, LinkLost, and what Sample.read does.
        """
        _ = self.sample  # read once, whatever becomes of its folder meanwhile
        runtime = self.runtime
        device.prepare(self.shipment.manifest.runtime, runtime.source if runtime else "wheel")

    def answers(self, device: Device) -> str:
        """Asks the current release its sample; how far off it was, in words. Raises WrongAnswer, and what ask does."""
        import numpy as np

        manifest, sample = self.shipment.manifest, self.sample
        where = f"{device.root}/{self.shipment.path}"
        with tempfile.TemporaryDirectory(prefix="edgewright-trial-") as temporary:
            samples, answer = Path(temporary, "sample.npz"), Path(temporary, "answer.npy")
            arrays: dict[str, Any] = dict(sample.asked(manifest))
            np.savez(samples, **arrays)
            bundle = RemoteBundle(digest=manifest.digest, path=where, bytes=manifest.bytes)
            ask(device, bundle, manifest, samples, answer, self.runtime, self.wait_s)
            found = np.load(answer, allow_pickle=False)
        expected, tolerance = sample.wanted(manifest)
        worst = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("nan")
        # Written so that a NaN counts as a difference.
        if not worst <= tolerance:
            raise WrongAnswer(
                f"{device.entry.name} answers the sample otherwise: off by {worst:.3g}, {tolerance:.3g} is allowed.",
                where=where,
                remedy="the runtime there may be another version: ./inv devices.probe; ./inv release.verify --device",
            )
        return f"off by {worst:.2g} of {tolerance:.2g}"

    def latency(self, device: Device, before: ReleaseThere | None) -> Timed:
        """Times the release beside the one before it, in one session; the first one against its own figures.

        before: what was current until now. Raises TooSlow, ReportNotKept, and what Device.measure does.
        """
        if device.entry.emulated:
            return Timed("not timed: an emulated device's times mean nothing")
        manifest = self.shipment.manifest
        if before is not None and before.bundle == manifest.digest:
            return Timed("not timed: it is the same model as before")
        old = None if before is None else self._manifest_of(device, before)
        figure = None if old is not None else _fitting(self.figures, device.entry)
        if old is None and figure is None:
            return Timed("not timed: there is neither a release before it nor a figure of such a device")
        looker = Looker(Rule(threshold=self.slower, first=3, budget_s=self.budget_s))
        report = self._measured(device, old, before, looker)
        with self._filing:
            keep(self.project, report, self.note)
        return self._judged(device, report, looker, figure)

    def _manifest_of(self, device: Device, before: ReleaseThere) -> Manifest | None:
        """Of the bundle of a release there; None where it isn't what it was, or its runtime isn't there any more."""
        with tempfile.TemporaryDirectory(prefix="edgewright-trial-") as temporary:
            local = Path(temporary, MANIFEST)
            try:
                device.connection.pull(f"{self._there(device, before)}/{MANIFEST}", local)
                data = local.read_bytes()
                found = Manifest.model_validate_json(data) if sha256_bytes(data) == before.bundle else None
            except (FileNotFoundError, ValidationError):
                return None
        return found if found is not None and found.runtime == self.shipment.manifest.runtime else None

    def _there(self, device: Device, release: ReleaseThere) -> str:
        return f"{device.root}/{FOLDER}/{self.shipment.model}/{release.name}/model"

    def _measured(self, device: Device, old: Manifest | None, before: ReleaseThere | None, looker: Looker) -> Report:
        variants = [self._variant(NOW, self.shipment.manifest, f"{device.root}/{self.shipment.path}")]
        if old is not None and before is not None:
            variants.insert(0, self._variant(BEFORE, old, self._there(device, before)))
        pair = len(variants) == 2
        # Also where the device is busy, as one that runs an app is: both are measured in turns, and meet the same.
        limit_s = max(0.5, self.budget_s / 64)
        protocol = Protocol(processes=3, ask=pair, block_limit_seconds=limit_s, memory_passes=1, refuse=False)
        job = Job(
            model=self.shipment.model,
            target=self.target.name,
            purpose="compare",
            variants=variants,
            threads=self.target.threads,
            cpus=self.target.cpus if self.target.cpus == "auto" else list(self.target.cpus),
            sensors=self.target.sensors,
            wait_s=self.wait_s,
            cool_s=_COOL_S,
            time_limit_s=time_limit_s(variants) + self.budget_s,
            max_temperature_c=self.target.start_below_c,
            **protocol.fields(),
        )
        seen = (looker.heard, looker.more) if pair else (None, None)
        return device.measure(with_canary(job, device.install), *seen, commit=self.project.commit())

    def _variant(self, name: str, manifest: Manifest, path: str) -> JobVariant:
        runtime = self.runtime
        return JobVariant(
            name=name,
            bundle=RemoteBundle(digest=manifest.digest, path=path, bytes=manifest.bytes),
            format=manifest.format,
            runtime=manifest.runtime,
            precision=manifest.precision,
            providers=list(runtime.providers) if runtime else [],
            options={one: dict(given) for one, given in runtime.options.items()} if runtime else {},
        )

    def _judged(self, device: Device, report: Report, looker: Looker, figure: Figures | None) -> Timed:
        failed = next((one for one in report.results if one["error"] and one["name"] == NOW), None)
        if failed is not None:
            raise WrongAnswer(
                f"{device.entry.name} can't run it: {failed['error']}", where=report.id, remedy="./inv ledger.show"
            )
        if figure is None:
            return self._beside(device, report, looker)
        now = latency(report.results[-1])
        if not report.valid or now is None:
            return Timed(f"not judged: {'; '.join(report.problems) or 'too few blocks were measured'}", report.id)
        assert figure.p50_ms is not None
        most = (figure.p50_ms.high or figure.p50_ms.value) * (1 + self.slower + SLACK)
        said = f"{show_ms(now.p50_ms)} ms; {show_ms(figure.p50_ms.value)} ms on {figure.device} before its release"
        if now.p50_ms > most:
            raise self._too_slow(device, f"{said}, so {show_ms(most)} ms is the most that is allowed", report)
        return Timed(said, report.id)

    def _beside(self, device: Device, report: Report, looker: Looker) -> Timed:
        if not looker.looked:
            looker.look(report.results)  # the job's time may have left none
        if error := report.results[0]["error"]:
            # It is damaged, or the device came to trust keys after it; nothing was found against the new one.
            return Timed(f"not judged: the release before can't be run any more: {error}", report.id)
        old, now = (latency(result) for result in report.results)
        ratio = looker.ratio
        if old is None or now is None or ratio is None:
            return Timed("not judged: too few blocks were measured", report.id)
        said = f"{show_ms(now.p50_ms)} ms, before {show_ms(old.p50_ms)} ms: {_change(ratio)}"
        said += ", undecided" if looker.comparison == "undecided" else ""
        # The interval holds all the same: noise makes it wider, and a wide one accuses nobody.
        said += "" if report.valid else f" (the device was not fit: {'; '.join(report.problems)})"
        if looker.comparison == "slower":
            raise self._too_slow(device, f"{said}; {self.slower:.0%} is allowed", report)
        return Timed(said, report.id)

    def _too_slow(self, device: Device, said: str, report: Report) -> TooSlow:
        return TooSlow(
            f"It is too slow on {device.entry.name}: {said}.",
            where=f"report {report.id}",
            remedy="./inv ledger.show says more; --slower 20% allows more",
            report=report.id,
        )


def _fitting(figures: Sequence[Figures], entry: DeviceEntry) -> Figures | None:
    """What the release was measured at on this device, else on a real one of its kind; None where on neither.

    A device that only stands in for a board is held against its own figures alone.
    """
    timed = [one for one in figures if one.p50_ms is not None]
    own = [one for one in timed if one.device == entry.name and one.worth in ("valid", "standing in")]
    others = [one for one in timed if one.worth == "valid" and not entry.stand_in]
    return next(iter([*own, *others]), None)


def _change(ratio: Ratio) -> str:
    """The time over the time before, less one, with its interval. ratio: before over now."""
    low, high = 1 / ratio.high - 1, 1 / max(ratio.low, 1e-300) - 1
    return f"{100 * (1 / ratio.value - 1):+.1f} % [{100 * low:+.1f} {100 * high:+.1f}]"
