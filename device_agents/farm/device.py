"""One device from the first connection to the report: agent, probe, runtime, bundles, measurement."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from device_agents.connect import connect
from device_agents.connect.base import Connection
from device_agents.connect.restore import PlaceRestorer
from device_agents.errors import (
    AgentGarbled,
    AgentLost,
    CommandTimedOut,
    DeviceError,
    DeviceFolderError,
    DeviceRestarted,
    EndlessOutput,
    LinkLost,
    NoPython,
)
from device_agents.farm import answers
from device_agents.farm.assemble import assemble
from device_agents.farm.endings import AGAIN, lost
from device_agents.farm.intake import Intake, Shown
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job, RemoteBundle
from device_agents.farm.journal import Journal, journaled
from device_agents.farm.prepare import RuntimeInfo, Runtimes, Source
from device_agents.farm.report import Report, new_id, now
from device_agents.farm.reservation import asked_by, me
from device_agents.farm.shelves import Installed, Shelves
from device_agents.farm.trustkeys import Signer, Trust
from device_agents.pack import agent
from device_agents.runtimes import System
from edgewright.files import sha256_file, write_atomically
from edgewright.progress import Progress, Silent
from targets.schema import Runtime

_OLDEST_PYTHON = (3, 8)


def open_device(
    entry: DeviceEntry,
    *,
    state: Path = Path(".edgewright"),
    cache: Path | None = None,
    progress: Progress | None = None,
    sign: Signer | None = None,
) -> Device:
    """Connects and puts the agent there. state: the project's folder, home of a local device; cache: for wheels.

    sign: signs bundles for a device that trusts keys; None leaves it to the signatures in their folders.
    """
    connection, root = connect(entry, state)
    try:
        home = (cache or Path("~/.cache/edgewright")).expanduser()
        return Device(entry, connection, root, home, progress or Silent(), state, sign)
    except BaseException:
        connection.close()
        raise


class Device:
    """A connected device with the agent on it. Use it in `with`, by one thread."""

    def __init__(
        self,
        entry: DeviceEntry,
        connection: Connection,
        root: str,
        cache: Path,
        progress: Progress,
        state: Path = Path(".edgewright"),
        sign: Signer | None = None,
    ) -> None:
        self.entry = entry
        self.connection = connection
        self._cache = cache
        self._progress = progress
        self._state = state
        try:
            hello = connection.place(do="hello", root=root)
        except OSError as error:
            raise DeviceFolderError(
                f"The agent's folder on {entry.name} can't be made or written: {error.strerror or error}",
                where=root,
                remedy='set root = "/a/writable/folder" for it in farm.toml',
            ) from error
        hello = answers.checked(entry.name, "hello", hello)
        if tuple(hello["python"][:2]) < _OLDEST_PYTHON:
            raise NoPython(
                f"The Python on {entry.name} is {'.'.join(map(str, hello['python']))}; the agent needs 3.8 or later.",
                where=connection.python,
                remedy='set python = "/path/to/a/newer/python3" for it in farm.toml',
            )
        self.root = str(hello["root"])
        self.system = System.of(hello)
        self._agent = self._push_agent()
        self._runtimes = Runtimes(connection, self.ask, self.root, self.system, cache, progress)
        self.trust = Trust(entry.name, self.root, hello["trusts"], self.ask, sign)
        self._shelves = Shelves(connection, self._restorer(connection), self.root, progress, self.trust.signature)

    def _restorer(self, connection: Connection) -> PlaceRestorer | None:
        # To this machine a file is copied, not sent: packing it would take longer.
        return None if self.entry.kind == "local" else PlaceRestorer(connection)

    def _push_agent(self) -> str:
        packed = agent()
        local = self._cache / "agent" / f"{packed.sha256}.pyz"
        if not local.is_file() or sha256_file(local) != packed.sha256:
            write_atomically(local, packed.data)
        remote = f"{self.root}/agent/{packed.sha256}.pyz"
        self.connection.push(local, remote, packed.sha256)
        return remote

    def argv(self, *arguments: str) -> list[str]:
        return [self.connection.python, "-I", self._agent, *arguments]

    def ask(self, *arguments: str, timeout: float = 120.0) -> dict[str, Any]:
        """A short command of the agent; the last line before its closing marker, checked and made harmless.

        Raises AgentLost, AgentFailed, AgentGarbled.
        """
        done = self.connection.run(self.argv(*arguments), timeout=timeout)
        return answers.answer(self.entry.name, self.root, arguments[0], done)

    def probe(self) -> dict[str, Any]:
        """{"facts": what the device is, "state": how it is now}; keys as in a report."""
        found = self.ask("probe", "--folder", self.root)
        return {"facts": found["facts"], "state": found["state"]}

    def holder(self) -> dict[str, Any] | None:
        """Who holds the device's lock now; None where it is free."""
        found: dict[str, Any] | None = self.ask("holder", "--root", self.root)["holder"]
        return found

    def sizes(self) -> tuple[dict[str, int], int | None]:
        """(bytes by folder under the root, each runtime by itself, bytes free on that disk)."""
        found = self.ask("sizes", "--root", self.root)
        return found["bytes"], found["free_bytes"]

    def erase(self) -> tuple[int, list[str]]:
        """Takes away all that is ours on the device: (bytes freed, what in the root isn't ours and was left).

        The device is of no use after that. Raises DeviceBusy while a job runs there, DeviceReserved where somebody else
        has the device.
        """
        self.connection.release()
        found = self.ask("erase", "--root", self.root, *asked_by(), timeout=600.0)
        return found["freed_bytes"], found["left"]

    def prepare(self, runtime: str, source: Source = "wheel") -> RuntimeInfo:
        """Has a runtime ready on the device, ours or its own as `source` says (targets.schema.Runtime).

        What is there is not sent. Raises RuntimeUnavailable, NoRoom, LinkLost.
        """
        return self._runtimes.prepare(runtime, source)

    def available(self, runtimes: Sequence[Runtime]) -> tuple[dict[str, RuntimeInfo], dict[str, str]]:
        """Prepares each of a target's runtimes: (those that work here, why the others can't be had), both by name.

        Raises RuntimeUnavailable where none works, NoRoom, LinkLost.
        """
        return self._runtimes.available(runtimes)

    def install(self, folder: Path) -> RemoteBundle:
        """Puts a bundle on the device, named by its digest and checked there; nothing is sent that is there already.

        Raises BundleError, BundleNotTrusted, NoRoom, PushFailed, DeviceFolderError, LinkLost.
        """
        return self._shelves.install(folder)

    @property
    def installed(self) -> dict[str, Installed]:
        """What this session put on the device, by the bundle's digest: bytes that travelled, bytes that lie there."""
        return self._shelves.installed

    def push_data(self, path: Path) -> str:
        """Puts an .npz on the device, named by its digest; the path there."""
        return self._shelves.push_data(path)

    def measure(
        self,
        job: Job,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        more: Callable[[list[dict[str, Any]]], int] | None = None,
        *,
        commit: str | None = None,
    ) -> Report:
        """Runs a job under the device's lock; the report says itself whether it is valid.

        on_event gets every event of the agent as it comes; more, where the agent asks for it (Job.ask), the results so
        far, and says how many processes to measure besides; commit: of the project that measures. The job's journal
        goes with `Report.write`. Raises DeviceBusy, DeviceReserved,
        AgentLost, AgentGarbled, LinkLost, CommandTimedOut, EndlessOutput.
        """
        used = [*job.variants, *([job.canary] if job.canary else [])]
        runtimes = {name: self.prepare(name) for name in dict.fromkeys(variant.runtime for variant in used)}
        holder = me() | {"what": f"{job.model} > {job.target}"}
        self.connection.release()
        started = now()
        report_id = new_id(started, job.model, job.target)
        journal = Journal.begin(
            self._state, report_id, entry=self.entry, job=job, runtimes=runtimes, started=started, commit=commit
        )
        intake = Intake(self.entry, job, journal)
        with Shown(self._progress, job) as shown:

            def take(line: bytes) -> bytes | None:
                event = intake.take(line)
                if event is None:
                    return None
                shown.take(event)
                if on_event is not None:
                    on_event(event)
                if event["kind"] != "look":
                    return None
                wanted = more(intake.results()) if more is not None and intake.may_grant() else 0
                return intake.grant(max(0, wanted))

            try:
                self._run(job, {name: info.folder for name, info in runtimes.items()}, holder, take, intake)
                intake.check(self.root)
            except (AgentLost, LinkLost) as gone:
                self._check_restart(intake.collector.facts.get("boot_id"), gone)
                raise
        return journaled(assemble(self.entry, job, intake, runtimes, report_id, started, commit), journal)

    def _run(
        self,
        job: Job,
        folders: dict[str, str],
        holder: dict[str, Any],
        take: Callable[[bytes], bytes | None],
        intake: Intake,
    ) -> None:
        """The agent from the job to its closing marker; what breaks after that takes nothing away."""
        try:
            done = self.connection.stream(
                self.argv("run", "--root", self.root),
                json.dumps(job.request(folders, holder)).encode(),
                take,
                # The agent has its own limit and ends its workers by it; ours is for an agent that doesn't.
                time_limit=job.wait_s + job.cool_s + job.settle_s + job.time_limit_s + 120.0,
            )
        except (LinkLost, CommandTimedOut, EndlessOutput, AgentGarbled):
            if intake.end is None:
                raise
        else:
            if intake.end is None:
                raise lost(self.entry.name, done)

    def _check_restart(self, boot_id: str | None, gone: DeviceError) -> None:
        """Raises DeviceRestarted where the device, as far as it can be reached by now, has another boot than before."""
        if boot_id is None:
            return
        try:
            if not self.connection.alive():
                self._reconnect()
            now_id = self.probe()["facts"].get("boot_id")
        except DeviceError:
            return  # it is not back yet, if it went: what is known is that it was lost
        if now_id is not None and now_id != boot_id:
            raise DeviceRestarted(
                f"{self.entry.name} restarted in mid-run: the job is lost, what was sent is kept.",
                where=f"boot {boot_id} before, {now_id} now",
                remedy=f"check its power supply and its temperature, then {AGAIN}",
            ) from gone

    def _reconnect(self) -> None:
        connection, _ = connect(self.entry, self._state)
        self.connection.close()
        self.connection = self._runtimes.connection = connection
        self._shelves.moved(connection, self._restorer(connection))

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
