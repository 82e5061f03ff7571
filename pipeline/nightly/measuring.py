"""One job of a night: all variants of a model on one device, the report kept before anything else is done with it."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from device_agents.bundle import read_bundle
from device_agents.errors import DeviceError, RuntimeUnavailable
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.opening import AnyDevice
from device_agents.farm.report import Report
from pipeline.keeping import Note, keep
from pipeline.measuring import Bench, Protocol
from pipeline.nightly.child import Answer
from pipeline.project import Project
from pipeline.reach import open_unreserved
from targets.schema import Target

PROTOCOL = Protocol(processes=3, samples=20, block_seconds=0.15, warmup_seconds=0.3, memory_passes=1)
"""A deploy's, so that its reports and a night's make one series. A device in a bad state is not measured: the report
that says so is filed, and the time goes to the next job."""


class NightStopped(DeviceError):
    """The night was stopped while a job ran."""


@dataclass
class Measuring:
    """Measures, in several threads at once, until it is stopped."""

    project: Project
    note: Note
    _open: set[AnyDevice] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _filing: threading.Lock = field(default_factory=threading.Lock)

    def open(self, entry: DeviceEntry) -> AnyDevice:
        """A device, which `stop` closes; `close` it afterwards. Raises DeviceError, DeviceReserved among them."""
        self._check()
        device = open_unreserved(self.project, entry)
        self._open.add(device)
        if self._stopped.is_set():  # while it was opened
            self.close(device)
        self._check()
        return device

    def close(self, device: AnyDevice) -> None:
        """Ends what `open` gave."""
        self._open.discard(device)
        device.close()

    def job(self, entry: DeviceEntry, target: Target, answer: Answer) -> Report:
        """The report, filed, of every bundle whose runtime the device can have. Raises DeviceError, ReportNotKept."""
        bench = Bench(self.project, entry, target, "nightly", answer.samples, note=self.note)
        device = self.open(entry)
        try:
            _, without = device.available(target.runtime)
            bundles = [
                (name, read_bundle(one.folder)) for name, one in answer.variants.items() if one.runtime not in without
            ]
            if not bundles:
                raise RuntimeUnavailable(
                    f"None of its variants' runtimes can be had there: {'; '.join(without.values())}",
                    where=entry.name,
                    remedy=f"./inv devices.setup {entry.name}",
                )
            report = bench.measured(device, bundles, PROTOCOL, heard=self._heard)
            report.warnings += [f"{name}: not measured: {why}" for name, why in without.items()]
            # One at a time, and without waiting for a ledger that is away: what it lacks is filed before it is judged.
            with self._filing:
                keep(self.project, report, self.note, patience_s=0.0)
        finally:
            self.close(device)
        return report

    def stop(self) -> None:
        """Ends all jobs that run: nobody hears the agents any more, so they end too. From any thread."""
        self._stopped.set()
        for device in list(self._open):
            with suppress(Exception):
                device.connection.close_link()

    def _heard(self, event: dict[str, Any]) -> None:
        # A process of this machine has no link that could be closed.
        self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise NightStopped("The night was stopped.", remedy="./inv nightly goes on with it")
