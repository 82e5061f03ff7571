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

from device_agents.errors import RuntimeUnavailable
from edgewright.files import canonical_json, pretty_json, sha256_bytes, sha256_file
from edgewright.progress import Progress, Silent, piece

Python = tuple[int, int]

# Newest version that has a wheel for each Python (device and machine columns: facts measured with pip download).
_NUMPY: Mapping[Python, str] = {
    (3, 8): "1.24.4",
    (3, 9): "2.0.2",
    (3, 10): "2.2.6",
    (3, 11): "2.4.6",
    (3, 12): "2.5.5",
    (3, 13): "2.5.5",
    (3, 14): "2.5.5",
}


@dataclass(frozen=True)
class Recipe:
    """What one runtime is made of. packages: name -> Python -> exact version; machines: what its wheels exist for."""

    packages: Mapping[str, Mapping[Python, str]]
    machines: frozenset[str]


RUNTIMES: Mapping[str, Recipe] = {
    "onnxruntime": Recipe(
        packages={
            "onnxruntime": {
                (3, 8): "1.19.2",
                (3, 9): "1.19.2",
                (3, 10): "1.23.2",
                (3, 11): "1.31.1",
                (3, 12): "1.31.1",
                (3, 13): "1.31.1",
                (3, 14): "1.31.1",
            },
            # onnxruntime names more packages than it needs to run a session; these two are all (tried).
            "numpy": _NUMPY,
        },
        machines=frozenset({"x86_64", "aarch64"}),
    ),
}


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
    """{package: version} of a runtime on a system. Raises RuntimeUnavailable where there are no wheels for it."""
    recipe = RUNTIMES.get(name)
    if recipe is None:
        raise RuntimeUnavailable(
            f"No runtime {name!r} is known.",
            where=f"known: {', '.join(RUNTIMES)}",
            remedy="correct the target's runtime",
        )
    if system.machine not in recipe.machines or system.implementation != "cpython" or system.libc[0] != "glibc":
        raise RuntimeUnavailable(
            f"There is no {name} wheel for this device: {system}.",
            where=f"wheels exist for CPython with glibc on {', '.join(sorted(recipe.machines))}",
            remedy="use a 64-bit system with glibc on the device (Raspberry Pi OS 64-bit, Debian, Ubuntu)",
        )
    missing = [package for package, versions in recipe.packages.items() if system.python not in versions]
    if missing:
        there = ", ".join(".".join(map(str, version)) for version in recipe.packages[missing[0]])
        raise RuntimeUnavailable(
            f"There is no {missing[0]} wheel for this device: {system}.",
            where=f"wheels are known for Python {there}",
            remedy='install one of these Pythons on the device and set python = "/path/to/it" in farm.toml',
        )
    return {package: versions[system.python] for package, versions in recipe.packages.items()}


def platform_tags(system: System) -> list[str]:
    """Every manylinux tag that the device's glibc satisfies, newest first: pip takes only what is named."""
    major, _, minor = system.libc[1].partition(".")
    newest = int(minor) if major == "2" and minor.isdigit() else 17
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
        with piece(progress or Silent(), f"fetch {name} {wanted[name]}", 1.0) as shown:
            _download(wanted, tags, system, folder)
            shown.advance()
        found = _cached(folder)
    if found is None:
        raise RuntimeUnavailable(
            "The wheels that were just fetched can't be read back.",
            where=str(folder),
            remedy="check the disk, then run again",
        )
    return WheelSet(name, wanted[name], found)


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


def _pip_failed(wanted: Mapping[str, str], system: System, said: str) -> RuntimeUnavailable:
    names = ", ".join(f"{package} {version}" for package, version in wanted.items())
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    where = (errors[-1] if errors else said.strip().splitlines()[-1] if said.strip() else "pip said nothing")[:300]
    if "No module named pip" in said:
        remedy = f"{sys.executable} -m ensurepip, then run the same command again"
    elif "No matching distribution" in said and "Retrying" not in said:
        remedy = "EDGEWRIGHT_PIP_ARGS='--index-url ...' names another index; or use a device with another Python"
    else:
        remedy = "check the network (EDGEWRIGHT_PIP_ARGS gives pip extra arguments), then run the same command again"
    return RuntimeUnavailable(f"pip found no wheels of {names} for this device: {system}.", where=where, remedy=remedy)
