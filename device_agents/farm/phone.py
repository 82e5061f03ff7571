"""A phone by adb, from the first connection to the report: what Device is where an agent can run, without one."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import TYPE_CHECKING, Any

from device_agents.connect.base import Connection
from device_agents.connect.restore import ShellRestorer
from device_agents.connect.shell import Shell
from device_agents.errors import DeviceFolderError, RuntimeUnavailable
from device_agents.farm import phonelock, phonereserve
from device_agents.farm.assemble import assemble
from device_agents.farm.benchmark_model import NAME
from device_agents.farm.intake import Intake, Shown
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job, RemoteBundle
from device_agents.farm.journal import Journal, journaled
from device_agents.farm.phoneprobe import probe_phone
from device_agents.farm.phonesession import NEEDS_PYTHON, PhoneSession
from device_agents.farm.prepare import RuntimeInfo, Source
from device_agents.farm.report import Report, new_id, now
from device_agents.farm.reservation import me
from device_agents.farm.shelves import Installed, Shelves
from device_agents.foreign import printable
from edgewright.files import sha256_file
from edgewright.progress import Progress, Silent

if TYPE_CHECKING:
    from targets.schema import Runtime

_FOLDERS = ("bin", "bundles", "data", "reservation")
"""Everything that we make under the root; what else lies there is somebody's own."""
_GET = (
    "fetch Google's prebuilt android_aarch64_benchmark_model (docs/android.md), then set "
    'benchmark_model = "path" for the phone in farm.toml'
)


@dataclass(frozen=True)
class PhoneSystem:
    """What a phone's processor is: `uname -m`, and the bits of it."""

    machine: str
    bits: int

    def __str__(self) -> str:
        return f"{self.machine}, {self.bits} bits, reached by adb"


class Phone:
    """A connected phone. Use it in `with`, by one thread. Raises DeviceFolderError where `root` can't be written."""

    def __init__(
        self,
        entry: DeviceEntry,
        connection: Connection,
        root: str,
        progress: Progress | None = None,
        state: Path | None = None,
    ) -> None:
        """state: the project's folder, for the journals of jobs; None keeps none."""
        self.entry = entry
        self.connection = connection
        self._progress = progress or Silent()
        self._state = state
        self._runtime: RuntimeInfo | None = None
        try:
            hello = connection.place(do="hello", root=root)
        except OSError as error:
            raise DeviceFolderError(
                f"The folder on {entry.name} can't be made or written: {error.strerror or error}",
                where=root,
                remedy='set root = "/a/writable/folder" for it in farm.toml (/data/local/tmp/edgewright is usual)',
            ) from error
        self.root = str(hello["root"])
        self.system = PhoneSystem(str(hello["machine"]), int(hello["bits"]))
        self._shelves = Shelves(connection, ShellRestorer(connection), self.root, self._progress)

    def probe(self) -> dict[str, Any]:
        """{"facts": what the phone is, "state": how it is now}; keys as in a report."""
        shell = Shell(self.connection)
        try:
            facts, state = probe_phone(shell, self.root)
        finally:
            shell.close()
        return {"facts": facts, "state": state}

    def holder(self) -> dict[str, Any] | None:
        """Who holds the phone's lock now; None where it is free."""
        return phonelock.holder(self.connection, self.root)

    def sizes(self) -> tuple[dict[str, int], int | None]:
        """(bytes by folder under the root, bytes free on that disk)."""
        done = self.connection.run(["sh", "-c", 'cd "$1" && du -sk -- * 2>/dev/null; exit 0', "sh", self.root])
        found = re.findall(r"^(\d{1,15})\s+(\S+)$", done.stdout.decode(errors="replace"), re.MULTILINE)
        free = self.connection.place(do="free", path=self.root)["free"]
        sizes = {name: int(kib) * 1024 for kib, name in found if name in _FOLDERS}
        if self._runtime is not None and self._runtime.source == "wheel" and "bin" in sizes:
            sizes[f"runtimes/{self._runtime.digest}"] = sizes.pop("bin")  # as a device with an agent says it
        return sizes, int(free)

    def erase(self) -> tuple[int, list[str]]:
        """Takes away all that is ours on the phone: (bytes freed, what in the root isn't ours and was left).

        Raises DeviceBusy while a job runs there, DeviceReserved, DeviceFolderError, LinkLost.
        """
        freed = sum(self.sizes()[0].values())
        with phonelock.PhoneLock(self.connection, self.root, me() | {"what": "removing everything"}) as shell:
            phonereserve.refuse(shell, self.entry.name, self.root)
            # A benchmark_model that a person put there themselves stays: ours lies in a folder named by its digest.
            ours = " ".join(quote(f"{self.root}/{name}") for name in _FOLDERS if name != "bin")
            shell.run(
                f"rm -rf {ours} {quote(self.root)}/bin/{'[0-9a-f]' * 16}; rmdir {quote(self.root)}/bin", timeout=600.0
            )
        self.connection.release()
        # Whoever took the lock meanwhile has written their name into it.
        script = 'cd "$1" && { [ -s lock ] || rm -f lock; ls -A; cd / && rmdir "$1" 2>/dev/null; exit 0; }'
        done = self.connection.run(["sh", "-c", script, "sh", self.root])
        return freed, sorted(done.stdout.decode(errors="replace").split("\n")[:-1])

    def available(self, runtimes: Sequence[Runtime]) -> tuple[dict[str, RuntimeInfo], dict[str, str]]:
        """Prepares each of a target's runtimes: (those that work here, why the others can't be had), both by name.

        Raises RuntimeUnavailable where none works, NoRoom, LinkLost.
        """
        found: dict[str, RuntimeInfo] = {}
        errors: dict[str, RuntimeUnavailable] = {}
        for runtime in runtimes:
            try:
                found[runtime.name] = self.prepare(runtime.name)
            except RuntimeUnavailable as error:
                errors[runtime.name] = error
        if not found and errors:
            raise next(iter(errors.values()))
        return found, {name: error.what for name, error in errors.items()}

    def prepare(self, runtime: str, source: Source = "device") -> RuntimeInfo:
        """benchmark_model, ready to run; what is there is not sent. Raises RuntimeUnavailable, NoRoom, LinkLost."""
        if runtime != NAME:
            raise RuntimeUnavailable(
                f"{runtime} {NEEDS_PYTHON}", where=self.entry.where, remedy="name Termux's SSH server in farm.toml"
            )
        if self._runtime is None:
            self._runtime = self._own() if self.entry.benchmark_model is not None else self._found()
        return self._runtime

    def _own(self) -> RuntimeInfo:
        local = self.entry.benchmark_model
        assert local is not None
        if not local.is_file():
            raise RuntimeUnavailable(
                f"The benchmark_model that farm.toml names for {self.entry.name} is not there.",
                where=str(local),
                remedy=_GET,
            )
        digest = sha256_file(local)
        remote = f"{self.root}/bin/{digest[:16]}/{NAME}"
        sent = self.connection.push(local, remote, digest, self._progress) > 0
        return self._tried(remote, digest, sent)

    def _found(self) -> RuntimeInfo:
        places = [f"{self.root}/bin/{NAME}", f"{posixpath.dirname(self.root)}/{NAME}", f"/data/local/tmp/{NAME}"]
        listed = " ".join(quote(place) for place in places)
        done = self.connection.run(
            ["sh", "-c", f'for one in {listed} "$(command -v {NAME})"; do [ -f "$one" ] && echo "$one" && exit; done']
        )
        remote = done.stdout.decode(errors="replace").strip()
        if not remote:
            raise RuntimeUnavailable(
                f"There is no benchmark_model on {self.entry.name}.", where=", ".join(places), remedy=_GET
            )
        digest = self.connection.run(["sh", "-c", f"sha256sum < {quote(remote)}"]).stdout.split()[:1]
        return self._tried(remote, digest[0].decode(errors="replace") if digest else "", False)

    def _tried(self, remote: str, digest: str, sent: bool) -> RuntimeInfo:
        self.connection.run(["chmod", "755", remote])
        # Versions differ in what they take for help; without a graph all name the flag that is missing.
        said = ""
        for words in ([remote, "--help"], [remote]):
            done = self.connection.run(words, timeout=60.0)
            said = (done.stdout + done.stderr).decode(errors="replace")
            if "--graph" in said:
                break
        if "--graph" not in said:
            lines = said.strip().splitlines()
            raise RuntimeUnavailable(
                f"The benchmark_model on {self.entry.name} (a {self.system.machine}) does not run.",
                where=f"{remote}: {printable(lines[-1], 300) if lines else f'exit status {done.status}'}",
                remedy=_GET,
            )
        ours = self.entry.benchmark_model is not None
        return RuntimeInfo(NAME, digest[:12], digest, posixpath.dirname(remote), sent, "wheel" if ours else "device")

    def install(self, folder: Path) -> RemoteBundle:
        """Puts a bundle on the phone, named by its digest and checked there; nothing is sent that is there already.

        Raises BundleError, NoRoom, PushFailed, DeviceFolderError, LinkLost.
        """
        return self._shelves.install(folder)

    @property
    def installed(self) -> dict[str, Installed]:
        """What this session put on the phone, by the bundle's digest: bytes that travelled, bytes that lie there."""
        return self._shelves.installed

    def push_data(self, path: Path) -> str:
        """Puts a file on the phone, named by its digest; the path there."""
        return self._shelves.push_data(path)

    def measure(
        self,
        job: Job,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        more: Callable[[list[dict[str, Any]]], int] | None = None,
        *,
        commit: str | None = None,
    ) -> Report:
        """Runs a job under the phone's lock; the report says itself whether it is valid.

        As Device.measure. Raises DeviceBusy, DeviceReserved, LinkLost, CommandTimedOut, RuntimeUnavailable,
        AgentGarbled.
        """
        program = posixpath.join(self.prepare(NAME).folder, NAME)
        holder = me() | {"what": f"{job.model} > {job.target}"}
        started = now()
        report_id = new_id(started, job.model, job.target)
        others = {one.runtime: RuntimeInfo(one.runtime, "", "", "", False, "device") for one in job.variants}
        runtimes = others | {NAME: self.prepare(NAME)}
        journal = Journal.begin(
            self._state, report_id, entry=self.entry, job=job, runtimes=runtimes, started=started, commit=commit
        )
        intake = Intake(self.entry, job, journal)
        with Shown(self._progress, job) as shown:

            def take(told: dict[str, Any]) -> None:
                # As a line: what a phone tells passes the same checks, and its journal reads like any other.
                event = intake.take(json.dumps(told).encode())
                if event is None:
                    return
                shown.take(event)
                if on_event is not None:
                    on_event(event)

            def ask(done: int) -> int:
                take({"kind": "look", "processes": done})
                wanted = max(0, more(intake.results())) if more is not None else 0
                intake.grant(wanted)
                return wanted

            with phonelock.PhoneLock(self.connection, self.root, holder, job.wait_s) as shell:
                phonereserve.refuse(shell, self.entry.name, self.root)
                PhoneSession(shell, job, self.root, program, take, ask).run()
                take({"kind": "end", "ok": True})
        intake.check(self.root)
        return journaled(assemble(self.entry, job, intake, runtimes, report_id, started, commit), journal)

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def __enter__(self) -> Phone:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
