"""A rollout under way: wave by wave, every device sent to, switched, looked at, then kept or rolled back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from device_agents.connect.base import Connection
from device_agents.errors import DeviceBusy
from device_agents.farm.device import Device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.report import now
from device_agents.farm.reserve import DeviceReserved, open_free
from device_agents.farm.rollout.endings import NOT_ITS_FAULT, truth
from device_agents.farm.rollout.errors import ReleaseRefused, RolloutBusy
from device_agents.farm.rollout.record import DeviceRollout, Record, Rollout, Status
from device_agents.farm.rollout.shipment import Shipment, send
from device_agents.farm.rollout.told import ModelThere, ReleaseThere, survey
from device_agents.farm.rollout.trial import SILENCE_S, Trial
from device_agents.farm.trustkeys import Signer
from edgewright.errors import EdgewrightError
from pipeline.release.signing import user_signer
from pipeline.rollout.trials import TooSlow, Tryout
from pipeline.table import plain

PATIENCE_S = SILENCE_S + 30.0
"""How long a device that was lost in mid-trial is asked what became of it: by then it has gone back by itself."""
_STOPPED_S = 10.0
"""The same after Ctrl-C."""


class Stopped(EdgewrightError):
    """Ctrl-C came before anything was switched on a device."""


@dataclass
class UnderWay:
    """A rollout under way; devices of one wave side by side, each in a thread of its own."""

    record: Record
    entries: Mapping[str, DeviceEntry]
    tryout: Tryout
    parallel: int
    to_stderr: bool = False
    _sign: Signer = field(default_factory=user_signer)
    _halt: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _open: dict[str, Connection] = field(default_factory=dict)
    _talking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _shipment(self) -> Shipment:
        return self.tryout.shipment

    def run(self) -> Rollout:
        """All waves; what came of it is on the disk when this returns."""
        release = self.record.rollout.release
        count = len(self.entries)
        self._say(f"{plain(release.model)} {plain(release.version)} > {count} device{'s' * (count != 1)}")
        try:
            for number, wave in enumerate(self.record.rollout.waves):
                if self._halt.is_set():
                    break
                self._say(f"  wave {number + 1}" + ("  (the canary)" if number == 0 else ""))
                self._wave(wave)
                # Without the canary nothing is known of the release.
                if number == 0 and self.record.rollout.devices[wave[0]].state != "good":
                    self._halt.set()
        except KeyboardInterrupt:
            self._halt.set()
            self._stopped.set()
        return self._ended()

    def _wave(self, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(max(1, self.parallel)) as pool:
            working = [pool.submit(self._device, name) for name in names]
            try:
                wait(working)
            except KeyboardInterrupt:
                self._halt.set()
                self._stopped.set()
                # Whoever is in the middle of a trial there goes back: the device by itself, once the link is gone.
                for connection in list(self._open.values()):
                    connection.close_link()
                raise
        for one in working:
            one.result()

    def _device(self, name: str) -> None:
        if self._halt.is_set():
            return
        self.record.device(name, state="under way", why="", remedy="", changed=now())
        try:
            told = self._on(name)
        except Exception as error:
            told = self._ended_by(name, error)
        if told["state"] not in ("good", "left out"):
            self._halt.set()
        found = self.record.device(name, changed=now(), **told)
        self._say(f"    {name:<16} {found.state:<12} {plain(_line(found, self._shipment.version))}")
        if found.remedy:
            self._say(f"        next: {plain(found.remedy)}")

    def _on(self, name: str) -> dict[str, Any]:
        """What came of one device. Raises what keeps it from being tried."""
        entry, project = self.entries[name], self.tryout.project
        with open_free(entry, state=project.state, cache=project.cache, sign=self._sign) as device:
            self._open[name] = device.connection
            try:
                assert isinstance(device, Device)
                self._go_on()
                there = self._there(name, device, check=True)
                if there is not None and self._is_it(there.running):
                    return self._had(device, there.running)
                self.tryout.prepare(device)
                sent = send(device, self._shipment, self.tryout.wait_s)
                self.record.device(name, sent_bytes=sent)
                self._go_on()
                # Another rollout that was waited for may have left another release, or this one, or taken it for an old
                # one that goes.
                there = self._there(name, device)
                if there is not None and self._is_it(there.running):
                    return self._had(device, there.running)
                if there is None or there.named(self._shipment.name) is None:
                    send(device, self._shipment, self.tryout.wait_s)
                return self._tried(name, device, there)
            finally:
                self._open.pop(name, None)

    def _there(self, name: str, device: Device, check: bool = False) -> ModelThere | None:
        """The model's releases on a device, whose current one is noted."""
        there = survey(device, check).of(self._shipment.model)
        before = there.running if there is not None else None
        self.record.device(name, runs=before and before.version, before=before and before.version)
        return there

    def _is_it(self, found: ReleaseThere | None) -> TypeGuard[ReleaseThere]:
        """Whether this is the release, to stay there; it is known by its name where its state was lost."""
        return found is not None and found.name == self._shipment.name and found.state != "trial"

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Stopped("the rollout was stopped")

    def _had(self, device: Device, found: ReleaseThere) -> dict[str, Any]:
        """It is current there already; damaged files are sent again, and signatures that the device doesn't trust."""
        why = "it was there"
        if found.damaged or device.trust.any:
            send(device, self._shipment, self.tryout.wait_s)
        if found.damaged:
            why = f"it was there, damaged, and was mended: {', '.join(found.damaged[:3])}"
        self.tryout.prepare(device)
        return {"state": "good", "why": why, "runs": self._shipment.version, "answers": self.tryout.answers(device)}

    def _tried(self, name: str, device: Device, there: ModelThere | None) -> dict[str, Any]:
        """Switched to, looked at, and kept or left."""
        shipment = self._shipment
        try:
            with Trial(device, shipment.model, shipment.name, silence_s=SILENCE_S, wait_s=self.tryout.wait_s) as trial:
                before = there.named(trial.before) if there is not None else None
                try:
                    answers = self.tryout.answers(device)
                    self.record.device(name, answers=answers)
                    timed = self.tryout.latency(device, before)
                    self.record.device(name, latency=timed.said, report=timed.report)
                except EdgewrightError as error:
                    trial.back(error.what)
                    # Where somebody else's job kept the device busy, nothing was found against the release.
                    state = "left out" if isinstance(error, DeviceBusy | DeviceReserved) else "rolled back"
                    left = {"state": state, "why": error.what, "remedy": error.remedy}
                    return left | ({"report": error.report} if isinstance(error, TooSlow) else {})
                trial.keep()
                return {"state": "good", "why": "", "runs": shipment.version}
        except (DeviceReserved, ReleaseRefused, RolloutBusy):
            raise  # nothing was switched
        except Exception as error:
            # It may be that the device switched, or even that it has kept the release: it is asked.
            patience_s = _STOPPED_S if self._stopped.is_set() else PATIENCE_S
            project = self.tryout.project
            return truth(self.entries[name], project.state, project.cache, shipment, error, patience_s)

    def _ended_by(self, name: str, error: Exception) -> dict[str, Any]:
        """Nothing was switched there."""
        runs = self.record.rollout.devices[name].runs
        if self._stopped.is_set():
            return {"state": "untouched", "why": "the rollout was stopped", "runs": runs}
        if not isinstance(error, EdgewrightError):
            return {"state": "failed", "why": f"{type(error).__name__}: {error}", "runs": runs}
        state = "left out" if isinstance(error, NOT_ITS_FAULT) else "failed"
        return {"state": state, "why": error.what, "remedy": error.remedy, "runs": runs}

    def _ended(self) -> Rollout:
        found = self.record.rollout
        bad, missing = found.in_state("rolled back", "failed", "unknown"), found.in_state("left out", "untouched")
        status: Status = "incomplete" if missing else "done"
        status = "stopped" if self._stopped.is_set() else "halted" if bad or self._halt.is_set() else status
        ended = self.record.ended(status, now())
        for line in summary(ended):
            self._say(line)
        return ended

    def _say(self, line: str) -> None:
        with self._talking:
            print(line, file=sys.stderr if self.to_stderr else sys.stdout, flush=True)


def summary(found: Rollout) -> list[str]:
    """What stands under a rollout's lines."""
    release, count = found.release, len(found.devices)
    lines = [f"  {found.status}: {len(found.in_state('good'))} of {count} devices run {plain(release.version)}"]
    for state in ("rolled back", "failed", "unknown", "left out", "untouched"):
        if names := found.in_state(state):
            lines.append(f"  {state:<12} {', '.join(map(plain, names))}")
    if found.status != "done":
        lines.append("  next: ./inv rollout --resume goes on with it; ./inv fleet says what runs where")
    return lines


def _line(found: DeviceRollout, version: str) -> str:
    """What came of one device, on one line."""
    if found.state == "good":
        seen = [found.why, f"answers {found.answers}" if found.answers else "", found.latency]
        return "; ".join([f"{found.before or 'nothing'} > {version}", *filter(None, seen)])
    runs = f"{found.runs} runs there" if found.runs else "no release runs there"
    return f"{runs}: {found.why}"
