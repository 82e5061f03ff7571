"""An Android phone for tests and for trying out: a folder with Android's programs behind a fake adb server.

By hand, to try a farm without owning a phone: `python -m tests.doubles.phone --farm farm.toml` declares it and runs
until Ctrl-C; the adb program must be installed.

Its shell is mksh and its commands are toybox's where this machine has them (apt-get install mksh toybox), as on a real
phone; else the machine's own. No Android program can run here, so its `benchmark_model` is a script that really runs
the .tflite file with ai_edge_litert and prints in benchmark_model's form; dumpsys and getprop print recorded text.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from types import TracebackType

from device_agents.farm.inventory import DeviceEntry
from tests.doubles import declared
from tests.doubles.fake_adb import FakeAdb, FakePhone

SERIAL = "0123456789ABCDEF"
RECORDED = Path(__file__).parents[1] / "device_agents" / "agent" / "recorded" / "pixel" / "system" / "bin"
BATTERY = Path(__file__).with_name("dumpsys_battery.txt")
_PROGRAM = Path(__file__).with_name("benchmark_program.py")
_TOYBOX = "cat chmod cp date df du flock getconf kill ls mkdir mv rm sha256sum sleep stat taskset timeout true uname"


class PhoneDouble:
    """One phone behind its own server. folder: its file system; benchmark_model: whether that program is on it."""

    def __init__(self, folder: Path, *, serial: str = SERIAL, benchmark_model: bool = True) -> None:
        self.folder = folder.absolute()
        self.bin = self.folder / "system" / "bin"
        self.root = self.folder / "data" / "local" / "tmp" / "edgewright"
        for place in (self.bin, self.root.parent, self.folder / "home"):
            place.mkdir(parents=True, exist_ok=True)
        shell = self._programs()
        if benchmark_model:
            self.add_benchmark_model(self.root.parent / "benchmark_model")
        environment = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.root.parent),
            "ANDROID_DATA": "/data",
        } | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        self.phone = FakePhone(serial, self.folder / "home", environment, shell)
        self.server = FakeAdb(self.phone)

    def _programs(self) -> str:
        """Android's programs, first on the phone's PATH; the path of its shell."""
        shell = shutil.which("mksh") or shutil.which("sh") or "sh"
        links = {"sh": shell}
        if toybox := shutil.which("toybox"):
            links |= dict.fromkeys(_TOYBOX.split(), toybox)
        for name, target in links.items():
            if not (self.bin / name).is_symlink():
                (self.bin / name).symlink_to(target)
        told = quote(str(RECORDED))
        battery = f'[ "$1" != battery ] || exec cat {quote(str(BATTERY))}'
        _script(self.bin / "getprop", f"exec sh {told}/getprop")
        _script(self.bin / "dumpsys", f'{battery}\nexec sh {told}/dumpsys "$@"')
        return str(self.bin / "sh")

    def add_benchmark_model(self, path: Path) -> Path:
        """The stand-in for Google's program, run by this Python, which has ai_edge_litert."""
        _script(path, f'exec {quote(sys.executable)} {quote(str(_PROGRAM))} "$@"')
        return path

    def entry(self, *, server: str | None = None, name: str = "phone") -> DeviceEntry:
        """The double as farm.toml would name it; server: of a proxy in front of its own."""
        return DeviceEntry(
            name=name,
            target="android",
            kind="adb",
            serial=self.phone.serial,
            adb_server=server or self.server.address,
            root=str(self.root),
            stand_in=True,
        )

    def __enter__(self) -> PhoneDouble:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(None, None, None)


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def table(double: PhoneDouble, name: str) -> str:
    """The double as an android in farm.toml; a stand-in, since its times are this machine's."""
    entry = double.entry(name=name)
    keys = {key: str(getattr(entry, key)) for key in ("target", "kind", "serial", "adb_server", "root")}
    lines = "".join(f'{key} = "{_escaped(value)}"\n' for key, value in keys.items())
    return f"[devices.{name}]\n{lines}stand_in = true\n"


def declare(double: PhoneDouble, farm: Path, name: str) -> None:
    """Writes a farm.toml that has this double and nothing else."""
    farm.write_text(table(double, name))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def main() -> int:
    """The command line; returns the exit status."""
    given = declared.options("phone", __doc__, name="phone")
    with tempfile.TemporaryDirectory(prefix="edgewright-phone-") as folder, ExitStack() as opened:
        tables = {
            name: table(opened.enter_context(PhoneDouble(Path(folder) / name)), name)
            for name in declared.numbered(given.name, given.count)
        }
        up = "an android behind an adb server, whose benchmark_model is a script that runs the model on this machine"
        return declared.serve(given.farm, tables, up, "android")


if __name__ == "__main__":
    sys.exit(declared.until_stopped(main))
