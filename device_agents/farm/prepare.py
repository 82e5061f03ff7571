"""Runtimes on a connected device: the device's own ones looked at, ours fetched, sent, unpacked; each tried there."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from device_agents.connect.base import Connection
from device_agents.errors import AgentFailed, AgentLost, NoRoom, RuntimeUnavailable
from device_agents.runtimes import System, Wheel, WheelSet, fetch
from edgewright.progress import Progress
from targets.schema import Runtime

Source = Literal["wheel", "device", "either"]
BENCHMARK_MODEL = "benchmark_model"


@dataclass(frozen=True)
class RuntimeInfo:
    """A runtime that works on a device. digest: of its wheels; folder: where it lies there; sent: whether it went over
    the link just now. source "device": the device's own, with neither digest nor folder ("").

    numpy: the version that it found there; providers: those that its build brings (onnxruntime tells, others don't).
    """

    name: str
    version: str
    digest: str
    folder: str
    sent: bool
    source: Literal["wheel", "device"] = "wheel"
    numpy: str | None = None
    providers: tuple[str, ...] = ()


class Ask(Protocol):
    """A short command of the agent; the last line before its closing marker."""

    def __call__(self, *arguments: str, timeout: float = 120.0) -> dict[str, Any]: ...


class Runtimes:
    """What runtimes a device has. Each is prepared once."""

    def __init__(
        self,
        connection: Connection,
        ask: Ask,
        root: str,
        system: System,
        cache: Path,
        progress: Progress,
    ) -> None:
        self.connection = connection
        self._ask = ask
        self._root = root
        self._system = system
        self._cache = cache
        self._progress = progress
        self.ready: dict[str, RuntimeInfo] = {}

    def prepare(self, name: str, source: Source = "wheel") -> RuntimeInfo:
        """Has a runtime ready; what is there is not sent. Raises RuntimeUnavailable, NoRoom, LinkLost."""
        if name not in self.ready:
            self.ready[name] = self._prepared(name, source)
        return self.ready[name]

    def available(self, runtimes: Sequence[Runtime]) -> tuple[dict[str, RuntimeInfo], dict[str, str]]:
        """Prepares each of a target's runtimes: (those that work, why the others can't be had), both by name.

        Raises RuntimeUnavailable where none works; NoRoom, LinkLost.
        """
        found: dict[str, RuntimeInfo] = {}
        errors: dict[str, RuntimeUnavailable] = {}
        for runtime in runtimes:
            try:
                found[runtime.name] = self.prepare(runtime.name, runtime.source)
            except RuntimeUnavailable as error:
                errors[runtime.name] = error
        if not found and errors:
            first, *others = errors.values()
            more = [other.what for other in others]
            raise RuntimeUnavailable(
                first.what, where="; ".join(filter(None, [first.where, *more])), remedy=first.remedy
            ) from first
        return found, {name: error.what for name, error in errors.items()}

    def _prepared(self, name: str, source: Source) -> RuntimeInfo:
        if name == BENCHMARK_MODEL:
            raise RuntimeUnavailable(
                f"{name} needs adb, and {self.connection.name} is reached otherwise.",
                remedy='set kind = "adb" for the device in farm.toml, or name another runtime in the target',
            )
        if source == "device":
            return self._own(name)
        if source == "either":
            try:
                return self._own(name)
            except RuntimeUnavailable as own:
                try:
                    return self._ours(name)
                except RuntimeUnavailable as ours:
                    raise RuntimeUnavailable(ours.what, where=f"{own.what} {ours.where}", remedy=ours.remedy) from ours
        return self._ours(name)

    def _own(self, name: str) -> RuntimeInfo:
        found = self._check(name, "")
        return RuntimeInfo(
            name, found["versions"]["version"], "", "", False, "device", found["versions"]["numpy"], _brings(found)
        )

    def _ours(self, name: str) -> RuntimeInfo:
        wheels = fetch(name, self._system, self._cache, self._progress)
        asked = ["unpack", "--root", self._root, "--digest", wheels.digest]
        folder = str(self._ask(*asked)["folder"])
        sent = not folder
        if sent:
            folder = self._send(wheels, asked)
        found = self._check(name, folder)
        return RuntimeInfo(
            name, wheels.version, wheels.digest, folder, sent, "wheel", found["versions"]["numpy"], _brings(found)
        )

    def _send(self, wheels: WheelSet, asked: list[str]) -> str:
        self._check_room(wheels)
        remote = [f"{self._root}/wheels/{wheel.sha256[:16]}/{wheel.path.name}" for wheel in wheels.wheels]
        try:
            for wheel, path in zip(wheels.wheels, remote, strict=True):
                self.connection.push(wheel.path, path, wheel.sha256, self._progress)
            folder = str(self._ask(*asked, *remote, timeout=600.0)["folder"])
        except NoRoom:
            self._remove(remote)
            raise
        except AgentFailed:
            # Another one who prepared this device at the same time was done first, and has tidied up.
            if not (folder := str(self._ask(*asked)["folder"])):
                raise
        self._remove(remote)
        return folder

    def _remove(self, remote: list[str]) -> None:
        for path in remote:
            self.connection.remove(path.rpartition("/")[0])

    def _check_room(self, wheels: WheelSet) -> None:
        """Before anything goes over the link: wheels and what is in them lie there side by side for a while."""
        needed = sum(wheel.path.stat().st_size + _unpacked_bytes(wheel) for wheel in wheels.wheels)
        free = int(self.connection.place(do="free", path=self._root)["free"])
        if needed > free:
            raise NoRoom(
                f"{self.connection.name} has no room for {wheels.name} {wheels.version}: sending and unpacking it "
                f"needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free.",
                where=self._root,
                remedy='free some space on the device, or set root = "/a/roomier/folder" for it in farm.toml',
            )

    def _check(self, name: str, folder: str) -> dict[str, Any]:
        """What a fresh process on the device says of a runtime. Raises RuntimeUnavailable."""
        where = folder or f"the device's own Python: {self.connection.python}"
        try:
            found = self._ask("runtime", "--name", name, "--folder", folder)
        except AgentLost as lost:
            raise RuntimeUnavailable(
                f"{name} kills the Python that loads it on {self.connection.name}.",
                where=f"{where}: {lost.where}",
                remedy="look at the device's log (dmesg), or name another runtime in the target",
            ) from lost
        if found["problem"]:
            raise RuntimeUnavailable(
                f"{name} can't be used on {self.connection.name}: {found['problem']}.",
                where=where,
                remedy=f"on the device: {found['remedy']}" if found["remedy"] else "name another runtime in the target",
            )
        return found


def _brings(found: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(provider) for provider in found["providers"])


def _unpacked_bytes(wheel: Wheel) -> int:
    with zipfile.ZipFile(wheel.path) as archive:
        return sum(member.file_size for member in archive.infolist())
