"""Energy: samples the power sensor of this device beside a measurement, and integrates."""

from __future__ import annotations

import threading
import time
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import cpus
from .probes import ina3221, tegrastats
from .probes.meters import Read, battery, hwmon, pmic
from .probes.source import Garbled

# Every 50 ms where a file tells it; where a program has to be started for each reading, a little above 10 Hz.
FILE_INTERVAL_S = 0.05
PROGRAM_INTERVAL_S = 0.09
LINE_INTERVAL_MS = 90
LEAST_SAMPLES = 3
# A sensor that was silent for longer leaves too much to guess.
MOST_GAP_S = 1.0


class Meter(NamedTuple):
    """A way to read this device's whole power in mW. read: None for the one that prints lines (tegrastats)."""

    source: str
    interval_s: float
    read: Optional[Read]


def meter(sysroot: str = "/") -> Optional[Meter]:
    """The best sensor of this device's whole power that gives a reading now; None where there is none."""
    rail = ina3221.total(sysroot)
    candidates: List[Optional[Meter]] = [
        Meter("ina3221", FILE_INTERVAL_S, rail) if rail else None,
        Meter("pmic", PROGRAM_INTERVAL_S, pmic(sysroot)),
    ]
    for candidate in candidates:
        if candidate and candidate.read and _reading(candidate.read) is not None:
            return candidate
    if _tegrastats_tells(sysroot):
        return Meter("tegrastats", LINE_INTERVAL_MS / 1000, None)
    for source, read in (("hwmon", hwmon(sysroot)), ("battery", battery(sysroot))):
        if read and _reading(read) is not None:
            return Meter(source, FILE_INTERVAL_S, read)
    return None


def _reading(read: Read) -> Optional[float]:
    try:
        return read()
    except Garbled:
        return None


def _tegrastats_tells(sysroot: str) -> bool:
    try:
        found = tegrastats.once(sysroot)
    except Garbled:
        return False
    return found is not None and tegrastats.total_mw(found["rails_mw"]) is not None


def energy(samples: Sequence[Tuple[float, float]], began: float, ended: float) -> Optional[Dict[str, float]]:
    """The integral of (monotonic seconds, mW) from `began` to `ended`, by trapezia; the ends hold the nearest value.

    {"mj": millijoules, "seconds", "samples"}; None for fewer than 3 samples, or where more than a second lies bare.
    """
    inside = [sample for sample in samples if began <= sample[0] <= ended]
    if len(inside) < LEAST_SAMPLES:
        return None
    points = [(began, inside[0][1]), *inside, (ended, inside[-1][1])]
    pairs = list(zip(points, points[1:]))
    if max(second[0] - first[0] for first, second in pairs) > MOST_GAP_S:
        return None
    total = sum((second[0] - first[0]) * (first[1] + second[1]) / 2 for first, second in pairs)
    return {"mj": total, "seconds": ended - began, "samples": len(inside)}


class Sampler:
    """Samples this device's power at 10 Hz or more between `start` and `stop`, in a thread of its own.

    avoid: cores that are measured; the thread and what it starts keep away from them where there are others.
    """

    def __init__(self, sysroot: str = "/", avoid: Sequence[int] = ()) -> None:
        self._sysroot = sysroot
        self._meter = meter(sysroot)
        self._elsewhere = [core for core in cpus.allowed() if core not in avoid]
        self._samples: List[Tuple[float, float]] = []
        self._began = 0.0
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None

    @property
    def source(self) -> Optional[str]:
        """What tells the power: ina3221, pmic, tegrastats, hwmon or battery; None where nothing does."""
        return self._meter.source if self._meter else None

    @property
    def available(self) -> bool:
        """Whether this device tells its power at all."""
        return self._meter is not None

    def idle(self, seconds: float) -> Optional[float]:
        """Mean power in mW over the next `seconds`, in which the caller does nothing; None where it isn't told."""
        if self._meter is None:
            return None
        self.start()
        time.sleep(seconds)
        found = self.stop()
        return found["mj"] / found["seconds"] if found else None

    def start(self) -> None:
        """Begins a section; without a sensor, nothing happens."""
        if self._meter is None or self._thread is not None:
            return
        self._samples = []
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(
            target=self._sample, args=(self._meter, self._samples, self._ended), daemon=True
        )
        self._thread.start()

    def stop(self) -> Optional[Dict[str, float]]:
        """Ends the section: {"mj", "seconds", "samples"}; None where too little was sampled (see `energy`)."""
        if self._thread is None:
            return None
        ended = time.monotonic()
        self._ended.set()
        # A reading under way may take as long as its program; the section's end doesn't wait for it.
        self._thread.join(timeout=2.0)
        self._thread = None
        return energy(list(self._samples), self._began, ended)

    def _sample(self, found: Meter, samples: List[Tuple[float, float]], ended: threading.Event) -> None:
        # Affinity belongs to the thread; programs that it starts inherit it.
        if self._elsewhere:
            cpus.pin(self._elsewhere)
        try:
            if found.read is None:
                self._follow(samples, ended)
            else:
                _poll(found.read, found.interval_s, samples, ended)
        except (Garbled, OSError):
            # What was sampled until then still counts, and the bare rest shows in `energy`.
            return

    def _follow(self, samples: List[Tuple[float, float]], ended: threading.Event) -> None:
        process = tegrastats.start(self._sysroot, LINE_INTERVAL_MS)
        if process is None:
            return
        try:
            for line in tegrastats.lines(process):
                parsed_line = tegrastats.parse(line)
                total = tegrastats.total_mw(parsed_line["rails_mw"]) if parsed_line else None
                if total is not None:
                    samples.append((time.monotonic(), total))
                if ended.is_set():
                    return
        finally:
            tegrastats.stop(process)


def _poll(read: Read, interval_s: float, samples: List[Tuple[float, float]], ended: threading.Event) -> None:
    due = time.monotonic()
    while True:
        began = time.monotonic()
        value = _reading(read)
        if value is not None:
            # The middle of the reading: starting a program takes milliseconds.
            samples.append(((began + time.monotonic()) / 2, value))
        due = max(due + interval_s, time.monotonic())
        if ended.wait(max(0.0, due - time.monotonic())):
            return
