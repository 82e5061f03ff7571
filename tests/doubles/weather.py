"""A board double whose weather is given: how fast it is, its noise and drift, when it throttles; who it is, its boot.

It is an accelerator board: the real onnxruntime gives the answers, and a call then waits until the time is over that
this board would take: `floor_ms`, and `ms_per_mb` for each megabyte of the model file, times the weather. So the times
are known, no core is busy meanwhile (eight boards fit on two cores), and nothing needs root. Everything else is real:
the agent, its protocol, the samples that it takes, the link.

- Noise: `noise` is the standard deviation of the log times from one process to the next, `jitter` from call to call.
- Drift: `drift_per_hour` is what the log times grow by.
- A given slow-down: `slow`; everything takes so many times as long, the canary model too: the device, not the model.
- Throttling: `throttle` is the factor once a process has computed for `throttle_after_s`. What the board says of itself
  is told by `tell`: vcgencmd's bits (`throttled=0x50005`), `temperature_c`, `governor`.
- A restart is `restarted()`, another boot id; another board under the same name `replaced()`, another serial number.

The agent reads the board's /proc and /sys from a folder (its `--sysroot`), which the `python` of farm.toml adds. How
busy this machine's cores are is not in there: it says nothing of a board whose time is given. For a device that is
held back by a CPU quota, whose times are this machine's own, see tests/doubles/quota.py (root); for other work beside
a measurement tests/bench/verdicts/load.py.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import shutil
import stat
import time
import uuid
import venv
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

from edgewright.files import write_atomically
from tests.doubles import weather_runtime

_BORROWED = ("numpy", "numpy.libs", "onnxruntime")
"""What the board's Python has of this one's packages."""
_FROM_HERE = ("proc/cpuinfo", "proc/meminfo", "proc/loadavg", "proc/uptime", "etc/os-release")
_VCGENCMD = """#!/bin/sh
case "$*" in
get_throttled) echo "throttled=$(cat {folder}/throttled)" ;;
measure_temp) echo "temp=$(cat {folder}/temperature)'C" ;;
"measure_clock arm") echo "frequency(48)=1800000000" ;;
"measure_volts core") echo "volt=0.8600V" ;;
*) exit 1 ;;
esac
"""
_PYTHON = """#!/bin/sh
# The agent's commands see this board's /proc and /sys; all else is plain Python.
case "$2" in
*.pyz) exec {python} "$@" --sysroot {tree} ;;
*) exec {python} "$@" ;;
esac
"""


@dataclass(frozen=True)
class Weather:
    """What the times of a board are made of; see above. began: when its drift was zero, in seconds of 1970.

    A load takes longer than this machine needs for a small model even when it is busy, so that only the weather shows.
    """

    floor_ms: float = 4.0
    ms_per_mb: float = 100.0
    load_ms: float = 150.0
    load_ms_per_mb: float = 100.0
    slow: float = 1.0
    noise: float = 0.003
    jitter: float = 0.01
    drift_per_hour: float = 0.0
    began: float = field(default_factory=time.time)
    throttle: float = 1.0
    throttle_after_s: float = 1e9


class Board:
    """Everything of a board but its SSH server. folder: for its Python and what it tells of itself; `python` is for
    farm.toml. This Python must have numpy and onnxruntime."""

    def __init__(self, folder: Path, weather: Weather | None = None) -> None:
        self.folder = folder.absolute()
        self.weather = weather or Weather()
        self.tree = self.folder / "tree"
        self.python = self.folder / "python3"
        self._prefix = self.folder / "python"
        self._make_python()
        self._make_tree()
        self.change()

    def change(self, **changes: Any) -> None:
        """Another weather, from the next call on: `board.change(slow=1.3)`."""
        self.weather = replace(self.weather, **changes)
        write_atomically(self._prefix / weather_runtime.FILE, json.dumps(asdict(self.weather)).encode())

    def tell(
        self, *, throttled: int | None = None, temperature_c: float | None = None, governor: str | None = None
    ) -> None:
        """What the board says of itself from now on; what is left out stays."""
        if throttled is not None:
            self._write("throttled", f"{throttled:#x}")
        if temperature_c is not None:
            self._write("temperature", f"{temperature_c:.1f}")
            self._write("tree/sys/class/thermal/thermal_zone0/temp", f"{temperature_c * 1000:.0f}")
        if governor is not None:
            self._write("tree/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor)

    def restarted(self) -> None:
        """The board has been off and on again."""
        self._write("tree/proc/sys/kernel/random/boot_id", str(uuid.uuid4()))

    def replaced(self) -> None:
        """Another board of the same kind answers in its place."""
        self._write("tree/proc/device-tree/serial-number", secrets.token_hex(8))
        self.restarted()

    def _make_python(self) -> None:
        venv.create(self._prefix, symlinks=True)
        (packages,) = self._prefix.glob("lib/python*/site-packages")
        for name in _BORROWED:
            found = importlib.util.find_spec(name.partition(".")[0])
            if found is None or found.origin is None:
                raise ModuleNotFoundError(f"a board double needs {name} here", name=name)
            place = Path(found.origin).parent.with_name(name)
            if place.is_dir():  # numpy.libs is where the wheel brings its own BLAS
                (packages / name).symlink_to(place)
        shutil.copyfile(weather_runtime.__file__, packages / "edgewright_weather.py")
        (packages / "edgewright_weather.pth").write_text("import edgewright_weather; edgewright_weather.install()\n")
        self._program(
            self.python, _PYTHON.format(python=quote(str(self._prefix / "bin" / "python3")), tree=quote(str(self.tree)))
        )

    def _make_tree(self) -> None:
        for path in _FROM_HERE:
            place = self.tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(Path("/", path))
        self._write("tree/proc/device-tree/model", "Edgewright board double")
        self._write("tree/sys/class/thermal/thermal_zone0/type", "cpu-thermal")
        for name, khz in (("scaling_cur_freq", 1800000), ("scaling_min_freq", 600000), ("scaling_max_freq", 1800000)):
            self._write(f"tree/sys/devices/system/cpu/cpu0/cpufreq/{name}", str(khz))
        self._program(self.tree / "usr" / "bin" / "vcgencmd", _VCGENCMD.format(folder=quote(str(self.folder))))
        self.replaced()
        self.tell(throttled=0, temperature_c=45.0, governor="performance")

    def _write(self, path: str, text: str) -> None:
        write_atomically(self.folder / path, f"{text}\n".encode())

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
