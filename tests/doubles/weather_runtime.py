"""Runs inside a board double's Python (tests/doubles/weather.py puts it there): gives its onnxruntime an accelerator
whose times are those of weather.json.

The real onnxruntime computes the answers; then the call waits until it has taken as long as this board would take, as
a call waits for a GPU. What it waits for takes no core, so that many boards fit on one machine.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = "weather.json"
PROVIDER = "WeatherExecutionProvider"


class Pace:
    """How long the calls of one loaded model take. file: the weather, read again whenever it is another; size: of the
    model file, in bytes."""

    def __init__(self, file: Path, size: int, dice: random.Random | None = None) -> None:
        self._file = file
        self._megabytes = size / 1e6
        self._dice = dice or random.Random()
        self._seen: tuple[int, int] | None = None
        self._weather: dict[str, float] = {}
        self._busy_s = 0.0
        # One draw for the whole process: what differs from one start to the next stays so until its end.
        self._mine = self._dice.gauss(0, 1)

    def load_s(self) -> float:
        """Seconds that loading the model takes."""
        now = self._now()
        return self._factor(now) * (now["load_ms"] + now["load_ms_per_mb"] * self._megabytes) / 1e3

    def call_s(self) -> float:
        """Seconds that the next inference takes."""
        now = self._now()
        seconds = self._factor(now) * (now["floor_ms"] + now["ms_per_mb"] * self._megabytes) / 1e3
        seconds *= math.exp(self._dice.gauss(0, now["jitter"]))
        self._busy_s += seconds
        return seconds

    def _factor(self, now: dict[str, float]) -> float:
        """What the weather makes of any time."""
        drifted = now["drift_per_hour"] * (time.time() - now["began"]) / 3600
        hot = self._busy_s >= now["throttle_after_s"]
        return now["slow"] * math.exp(self._mine * now["noise"] + drifted) * (now["throttle"] if hot else 1.0)

    def _now(self) -> dict[str, float]:
        found = self._file.stat()
        seen = (found.st_mtime_ns, found.st_ino)
        if seen != self._seen:
            self._weather, self._seen = json.loads(self._file.read_bytes()), seen
        return self._weather


def _until(due: float) -> None:
    while (left := due - time.perf_counter()) > 0:
        time.sleep(left)


def paced(real: Any, file: Path) -> Any:
    """onnxruntime's InferenceSession, with the times of this board."""

    class InferenceSession(real):  # type: ignore[misc]
        def __init__(self, model: Any, *given: Any, **named: Any) -> None:
            began = time.perf_counter()
            super().__init__(model, *given, **named)
            size = len(model) if isinstance(model, bytes) else Path(model).stat().st_size
            self._weather_pace = Pace(file, size)
            _until(began + self._weather_pace.load_s())

        def run(self, *given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            found = super().run(*given, **named)
            _until(began + self._weather_pace.call_s())
            return found

        def get_providers(self) -> list[str]:
            return [PROVIDER]

    return InferenceSession


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any, file: Path) -> None:
        self._inner, self._file = inner, file

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        module.InferenceSession = paced(module.InferenceSession, self._file)  # type: ignore[attr-defined]


class _Finder(importlib.abc.MetaPathFinder):
    """Hands out onnxruntime as it is found by the others, loaded by us."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "onnxruntime":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(fullname)
        if found is not None and found.loader is not None:
            found.loader = _Loader(found.loader, self._file)
        return found


def install() -> None:
    """Called as Python starts, by a line of a .pth file."""
    sys.meta_path.insert(0, _Finder(Path(sys.prefix, FILE)))
