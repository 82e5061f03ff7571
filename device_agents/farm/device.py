"""One device from the first connection to the report: agent, probe, runtime, bundles, measurement."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from device_agents.bundle import MANIFEST, read_bundle
from device_agents.connect import connect
from device_agents.connect.base import Connection
from device_agents.connect.process import Completed
from device_agents.errors import AgentFailed, AgentLost, DeviceBusy, DeviceFolderError, NoPython
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job, RemoteBundle
from device_agents.farm.report import Collector, Report, new_id, now
from device_agents.farm.validity import judge
from device_agents.pack import agent
from device_agents.runtimes import System, fetch
from edgewright.files import sha256_file, write_atomically
from edgewright.progress import Progress, Silent, piece

_AGAIN = "run the same command again; what was sent is kept"
_OLDEST_PYTHON = (3, 8)


@dataclass(frozen=True)
class RuntimeInfo:
    """A runtime on a device. folder: where it lies there; sent: whether it went over the link just now."""

    name: str
    version: str
    digest: str
    folder: str
    sent: bool


def open_device(
    entry: DeviceEntry,
    *,
    state: Path = Path(".edgewright"),
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Device:
    """Connects and puts the agent there. state: the project's folder, home of a local device; cache: for wheels."""
    connection, root = connect(entry, state)
    try:
        return Device(
            entry, connection, root, (cache or Path("~/.cache/edgewright")).expanduser(), progress or Silent()
        )
    except BaseException:
        connection.close()
        raise


class Device:
    """A connected device with the agent on it. Use it in `with`, by one thread."""

    def __init__(self, entry: DeviceEntry, connection: Connection, root: str, cache: Path, progress: Progress) -> None:
        self.entry = entry
        self.connection = connection
        self._cache = cache
        self._progress = progress
        self._runtimes: dict[str, RuntimeInfo] = {}
        try:
            hello = connection.place(do="hello", root=root)
        except OSError as error:
            raise DeviceFolderError(
                f"The agent's folder on {entry.name} can't be made or written: {error.strerror or error}",
                where=root,
                remedy='set root = "/a/writable/folder" for it in farm.toml',
            ) from error
        if tuple(hello["python"][:2]) < _OLDEST_PYTHON:
            raise NoPython(
                f"The Python on {entry.name} is {'.'.join(map(str, hello['python']))}; the agent needs 3.8 or later.",
                where=connection.python,
                remedy='set python = "/path/to/a/newer/python3" for it in farm.toml',
            )
        self.root = str(hello["root"])
        self.system = System.of(hello)
        self._agent = self._push_agent()

    def _push_agent(self) -> str:
        packed = agent()
        local = self._cache / "agent" / f"{packed.sha256}.pyz"
        if not local.is_file() or sha256_file(local) != packed.sha256:
            write_atomically(local, packed.data)
        remote = f"{self.root}/agent/{packed.sha256}.pyz"
        self.connection.push(local, remote, packed.sha256)
        return remote

    def _argv(self, *arguments: str) -> list[str]:
        return [self.connection.python, "-I", self._agent, *arguments]

    def _ask(self, *arguments: str, timeout: float = 120.0) -> dict[str, Any]:
        """A short command of the agent; the last line before its closing marker. Raises AgentLost, AgentFailed."""
        done = self.connection.run(self._argv(*arguments), timeout=timeout)
        answers = [event for line in done.stdout.splitlines() if (event := _event(line)) is not None]
        end = answers[-1] if answers and answers[-1]["kind"] == "end" else None
        if end is None:
            raise self._lost(done)
        if not end["ok"]:
            raise AgentFailed(
                f"The agent on {self.entry.name} could not do it: {end.get('message') or end.get('error')}",
                where=arguments[0],
                remedy=_AGAIN,
            )
        return answers[-2] if len(answers) > 1 else {}

    def _lost(self, done: Completed) -> AgentLost:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return AgentLost(
            f"The agent on {self.entry.name} ended without its closing marker (exit status {done.status}): "
            "it was killed, or the device went down.",
            where=said[-1][:300] if said else "it left no message",
            remedy=_AGAIN,
        )

    def probe(self) -> dict[str, Any]:
        """{"facts": what the device is, "state": how it is now}; keys as in a report."""
        found = self._ask("probe")
        return {"facts": found["facts"], "state": found["state"]}

    def holder(self) -> dict[str, Any] | None:
        """Who holds the device's lock now; None where it is free."""
        found: dict[str, Any] | None = self._ask("holder", "--root", self.root)["holder"]
        return found

    def prepare(self, runtime: str) -> RuntimeInfo:
        """Has a runtime ready on the device; what is there is not sent. Raises RuntimeUnavailable, NoRoom, LinkLost."""
        if runtime in self._runtimes:
            return self._runtimes[runtime]
        wheels = fetch(runtime, self.system, self._cache, self._progress)
        asked = ["unpack", "--root", self.root, "--digest", wheels.digest]
        found = self._ask(*asked)
        sent = not found["folder"]
        if sent:
            remote = [f"{self.root}/wheels/{wheel.sha256[:16]}/{wheel.path.name}" for wheel in wheels.wheels]
            for wheel, path in zip(wheels.wheels, remote, strict=True):
                self.connection.push(wheel.path, path, wheel.sha256, self._progress)
            found = self._ask(*asked, *remote, timeout=600.0)
            for path in remote:
                self.connection.remove(path.rpartition("/")[0])
        info = RuntimeInfo(runtime, wheels.version, wheels.digest, str(found["folder"]), sent)
        self._runtimes[runtime] = info
        return info

    def install(self, folder: Path) -> RemoteBundle:
        """Puts a bundle on the device, named by its digest and checked there; nothing is sent that is there already.

        Raises BundleError, NoRoom, PushFailed, LinkLost.
        """
        bundle = read_bundle(folder)
        remote = f"{self.root}/bundles/{bundle.digest}"
        manifest = bundle.manifest
        self.connection.push(bundle.model_file, f"{remote}/{manifest.file}", manifest.sha256, self._progress)
        # The manifest last: where it lies, the model lies too.
        self.connection.push(folder / MANIFEST, f"{remote}/{MANIFEST}", bundle.digest)
        return RemoteBundle(digest=bundle.digest, path=remote)

    def push_data(self, path: Path) -> str:
        """Puts an .npz on the device, named by its digest; the path there."""
        digest = sha256_file(path)
        remote = f"{self.root}/data/{digest}.npz"
        self.connection.push(path, remote, digest, self._progress)
        return remote

    def measure(self, job: Job, on_event: Callable[[dict[str, Any]], None] | None = None) -> Report:
        """Runs a job under the device's lock; the report says itself whether it is valid.

        on_event gets every event of the agent as it comes. Raises DeviceBusy, AgentLost, LinkLost, CommandTimedOut.
        """
        folders = {name: self.prepare(name).folder for name in {variant.runtime for variant in job.variants}}
        me = {"who": _user(), "host": socket.gethostname(), "what": f"{job.model} > {job.target}"}
        self.connection.release()
        started = now()
        collector = Collector(job)
        end: dict[str, Any] = {}
        strange: list[bytes] = []
        with piece(self._progress, "measure", len(job.variants) * (job.processes * job.blocks + 2)) as shown:

            def take(line: bytes) -> None:
                event = _event(line)
                if event is None:
                    strange.append(line[:200])
                    return
                if event["kind"] == "end":
                    end.update(event)
                collector.take(event)
                if event["kind"] in ("block", "memory", "accuracy"):
                    shown.advance(1.0, str(event["name"]))
                if on_event is not None:
                    on_event(event)

            done = self.connection.stream(
                self._argv("run", "--root", self.root),
                json.dumps(job.request(folders, me)).encode(),
                take,
                # The agent has its own limit and ends its workers by it; ours is for an agent that doesn't.
                time_limit=job.wait_s + job.time_limit_s + 120.0,
            )
        self._check_end(end, done)
        return self._report(job, collector, started, len(strange))

    def _check_end(self, end: dict[str, Any], done: Completed) -> None:
        if not end:
            raise self._lost(done)
        if end["ok"]:
            return
        if end.get("error") == "busy":
            holder = end.get("holder") or {}
            raise DeviceBusy(
                f"{self.entry.name} is busy: {holder.get('who', 'someone')} on {holder.get('host', 'another machine')} "
                f"has measured {holder.get('what', 'something')} there since {holder.get('since', 'a while')}.",
                where=f"{self.root}/lock",
                remedy="wait for it to end, then run the same command again",
                holder=holder,
            )
        raise AgentFailed(
            f"The agent on {self.entry.name} could not run the job: {end.get('message') or end.get('error')}",
            remedy=_AGAIN,
        )

    def _report(self, job: Job, found: Collector, started: str, strange: int) -> Report:
        results = list(found.results.values())
        share = found.others_cpu_share()
        problems, warnings = judge(found.before, found.after, found.canary, results, share, found.pinned)
        if strange:
            warnings.append(f"{strange} lines of the agent's output were not its own and were left out")
        if self.entry.emulated:
            warnings.append("this device is emulated: its times mean nothing")
        runtime = self._runtimes[job.variants[0].runtime]
        providers = sorted({name for result in results for name in result["providers"]})
        return Report(
            id=new_id(started, job.model, job.target),
            started=started,
            finished=now(),
            model=job.model,
            target=job.target,
            device={
                "name": self.entry.name,
                "address": self.entry.address,
                "stand_in": self.entry.stand_in,
                "emulated": self.entry.emulated,
            },
            valid=not problems,
            problems=problems,
            warnings=warnings,
            agent={"version": found.agent, "sha256": agent().sha256},
            runtime={
                "name": runtime.name,
                "version": found.versions.get("version", runtime.version),
                "numpy": found.versions.get("numpy"),
                "providers": providers,
            },
            facts=found.facts,
            state_before=found.before,
            state_after=found.after,
            job=job.model_dump(mode="json"),
            results=results,
            canary=found.canary,
            cpus=found.cpus,
            others_cpu_share=share,
        )

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _event(line: bytes) -> dict[str, Any] | None:
    """A line of the agent; None where it is something else's."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "someone"
