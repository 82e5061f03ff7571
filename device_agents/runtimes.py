"""The runtimes that devices get from us: which wheels suit which Python, machine and C library; fetched once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.errors import NotFetched, RuntimeUnavailable
from device_agents.wheels import RECIPES, ROWS, Row, package_of
from edgewright.files import alone, canonical_json, pretty_json, sha256_bytes, sha256_file
from edgewright.progress import Progress, Silent, piece

Python = tuple[int, int]


@dataclass(frozen=True)
class System:
    """The Python of a device, as wheels are chosen by. libc: (name, version), ("", "") where Python can't tell."""

    python: Python
    implementation: str
    machine: str
    libc: tuple[str, str]

    @classmethod
    def of(cls, hello: Mapping[str, Any]) -> System:
        """From what agent/place.py says of the device."""
        machine = str(hello["machine"])
        if machine == "aarch64" and hello["bits"] == 32:
            machine = "armv7l"  # a 32-bit system on a 64-bit kernel
        version = hello["python"]
        name, number = hello["libc"]
        return cls((int(version[0]), int(version[1])), str(hello["implementation"]), machine, (str(name), str(number)))

    @property
    def bits32(self) -> bool:
        """Whether this is a 32-bit ARM system."""
        return self.machine.startswith("armv")

    @property
    def glibc(self) -> int:
        """The minor of glibc 2; 17, the oldest that wheels are made for, where it can't be read."""
        major, _, minor = self.libc[1].partition(".")
        return int(minor) if major == "2" and minor.isdigit() else 17

    def __str__(self) -> str:
        libc = " ".join(self.libc).strip() or "an unknown C library"
        return f"{self.implementation} {self.python[0]}.{self.python[1]} on {self.machine} with {libc}"


@dataclass(frozen=True)
class Wheel:
    """One wheel file on this machine and its digest."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class WheelSet:
    """All wheels of a runtime for one kind of device. digest: of their names and digests; it names the folder there."""

    name: str
    version: str
    wheels: tuple[Wheel, ...]

    @property
    def digest(self) -> str:
        return sha256_bytes(canonical_json([[wheel.path.name, wheel.sha256] for wheel in self.wheels]))


def requirements(name: str, system: System) -> dict[str, str]:
    """{package: version} of a runtime on a system, the runtime's own first. Raises RuntimeUnavailable.

    numpy is left out where the device's own must do (32-bit ARM).
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise RuntimeUnavailable(
            f"There are no wheels of the runtime {name!r}.",
            where=f"wheels are known of {', '.join(RECIPES)}",
            remedy='the device must bring it itself: source = "device" at this runtime in the target',
        )
    if system.libc[0] != "glibc" or system.implementation != "cpython":
        raise _no_wheel(recipe.package, system, "wheels exist for CPython with glibc", _remedy_without_glibc(system))
    keys = [recipe.package] + ([] if system.machine in recipe.own_numpy else [recipe.numpy])
    return {package_of(key): _newest(name, key, system).version for key in keys}


def _newest(name: str, key: str, system: System) -> Row:
    """The first row of ROWS that fits, rows being sorted so. Raises RuntimeUnavailable saying what there is."""
    rows = ROWS[key]
    package = package_of(key)
    machine = [row for row in rows if system.machine in row.machines]
    if not machine:
        there = ", ".join(sorted({one for row in rows for one in row.machines}))
        if system.bits32:
            raise RuntimeUnavailable(
                f"{name} has no wheel for 32-bit ARM; a 32-bit device runs TFLite only, by tflite-runtime: {system}.",
                where=f"{package} has wheels for {there}",
                remedy="--target raspberry-pi-32, or put a 64-bit system on the device",
            )
        raise _no_wheel(package, system, f"wheels exist for {there}", _BUILD)
    pythons = [row for row in machine if system.python[0] == 3 and system.python[1] in row.pythons]
    if not pythons:
        known = ", ".join(f"3.{minor}" for minor in sorted({minor for row in machine for minor in row.pythons}))
        other = _OTHER.get(name)
        remedy = 'install one of these Pythons on the device and set python = "/path/to/it" for it in farm.toml'
        if other and _fits(other, system):
            remedy = f"use {other} in the target: it has wheels for this device; or {remedy}"
        raise _no_wheel(package, system, f"on {system.machine} wheels exist for Python {known}", remedy)
    for row in pythons:
        if system.glibc >= row.glibc:
            return row
    least = min(row.glibc for row in pythons)
    newer = "a newer system on the device, or another Python there"
    raise _no_wheel(package, system, f"for this Python it needs glibc 2.{least} or later", newer)


_OTHER = {"tflite-runtime": "litert", "litert": "tflite-runtime"}
_BUILD = 'build it on the device yourself, and set source = "device" at this runtime in a target of your own'


def _fits(name: str, system: System) -> bool:
    keys = [RECIPES[name].package, *([] if system.machine in RECIPES[name].own_numpy else [RECIPES[name].numpy])]
    return all(
        any(
            system.machine in row.machines and system.python[1] in row.pythons and system.glibc >= row.glibc
            for row in ROWS[key]
        )
        for key in keys
    )


def _no_wheel(package: str, system: System, where: str, remedy: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(f"There is no {package} wheel for this device: {system}.", where=where, remedy=remedy)


def _remedy_without_glibc(system: System) -> str:
    if system.libc[0] == "musl":
        return "use a system with glibc on the device (Debian, Ubuntu, Raspberry Pi OS), or a container of one"
    if system.implementation != "cpython":
        return 'set python = "/path/to/a/CPython" for the device in farm.toml'
    return (
        'on Android: a runtime with source = "device" (Termux: pkg install python-onnxruntime), or adb: kind = "adb" '
        "in farm.toml; elsewhere use a system with glibc"
    )


def platform_tags(system: System) -> list[str]:
    """Every manylinux tag that the device's glibc satisfies, newest first: pip takes only what is named."""
    newest = system.glibc
    oldest = 5 if system.machine in ("x86_64", "i686") else 17
    tags = [f"manylinux_2_{number}_{system.machine}" for number in range(newest, oldest - 1, -1)]
    old_names = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    return tags + [f"{old}_{system.machine}" for number, old in old_names.items() if oldest <= number <= newest]


def fetch(name: str, system: System, cache: Path, progress: Progress | None = None) -> WheelSet:
    """The wheels of a runtime for a system, from the cache or by pip. The second time needs no network.

    EDGEWRIGHT_PIP_ARGS: extra arguments for pip. Raises RuntimeUnavailable.
    """
    wanted = requirements(name, system)
    tags = platform_tags(system)
    key = sha256_bytes(canonical_json({"wanted": wanted, "tags": tags, "python": system.python}))
    folder = cache.expanduser() / "wheels" / key[:32]
    found = _cached(folder)
    if found is None:
        with alone(cache.expanduser() / "locks" / folder.name):  # the devices of a farm ask at the same time
            found = _cached(folder)
            if found is None:
                with piece(progress or Silent(), f"fetch {name} {wanted[RECIPES[name].package]}", 1.0) as shown:
                    _download(wanted, tags, system, folder)
                    shown.advance()
                found = _cached(folder)
    if found is None:
        raise RuntimeUnavailable(
            "The wheels that were just fetched can't be read back.",
            where=str(folder),
            remedy="check the disk, then run again",
        )
    return WheelSet(name, wanted[RECIPES[name].package], found)


def _cached(folder: Path) -> tuple[Wheel, ...] | None:
    """The wheels in a cache folder, each checked; None where the folder isn't there, or anything in it is damaged."""
    try:
        listed = json.loads((folder / "wheels.json").read_bytes())
        wheels = tuple(Wheel(folder / file, digest) for file, digest in sorted(listed.items()))
        return wheels if all(sha256_file(wheel.path) == wheel.sha256 for wheel in wheels) else None
    except (OSError, ValueError, AttributeError):
        return None


def _download(wanted: Mapping[str, str], tags: list[str], system: System, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary, "wheels")
        made.mkdir()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--only-binary=:all:", "--no-deps", "--implementation", "cp"]
        command += ["--python-version", ".".join(map(str, system.python)), "--dest", str(made)]
        command += [argument for tag in tags for argument in ("--platform", tag)]
        command += shlex.split(os.environ.get("EDGEWRIGHT_PIP_ARGS", ""))
        command += [f"{package}=={version}" for package, version in wanted.items()]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise _pip_failed(wanted, system, done.stderr or done.stdout)
        listed = {path.name: sha256_file(path) for path in made.glob("*.whl")}
        (made / "wheels.json").write_bytes(pretty_json(listed))
        if folder.exists():
            folder.rename(Path(temporary, "damaged"))
        made.rename(folder)


def _pip_failed(wanted: Mapping[str, str], system: System, said: str) -> RuntimeUnavailable | NotFetched:
    names = ", ".join(f"{package} {version}" for package, version in wanted.items())
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    where = (errors[-1] if errors else said.strip().splitlines()[-1] if said.strip() else "pip said nothing")[:300]
    refused = "No matching distribution" in said and "Retrying" not in said
    if "No module named pip" in said:
        remedy = f"{sys.executable} -m ensurepip, then run the same command again"
    elif refused:
        remedy = "EDGEWRIGHT_PIP_ARGS='--index-url ...' names another index; or use a device with another Python"
    else:
        remedy = "check the network (EDGEWRIGHT_PIP_ARGS gives pip extra arguments), then run the same command again"
    if refused:
        return RuntimeUnavailable(
            f"pip found no wheels of {names} for this device: {system}.", where=where, remedy=remedy
        )
    return NotFetched(f"pip could not fetch {names} for this device: {system}.", where=where, remedy=remedy)
