"""Energy: samples the power sensor of this device beside a measurement, and integrates."""

from __future__ import annotations

import glob
import os
import threading
import time
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import cpus
from .probes import ina3221, raspberry, tegrastats
from .probes.source import Garbled, Programs, number, read_text

# Every 50 ms where a file tells it; where a program has to be started for each reading, a little above 10 Hz.
FILE_INTERVAL_S = 0.05
PROGRAM_INTERVAL_S = 0.09
LINE_INTERVAL_MS = 90
LEAST_SAMPLES = 3
# A sensor that was silent for longer leaves too much to guess.
MOST_GAP_S = 1.0

Read = Callable[[], Optional[float]]
# Chips that measure what flows to the whole board where there is one of them; a GPU's or a fan's own meter does not.
_METERS = ("power_meter", "ina219", "ina220", "ina226", "ina228", "ina230", "ina231", "ina238", "ina260")


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
        Meter("pmic", PROGRAM_INTERVAL_S, lambda: pmic_mw(Programs(sysroot))),
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


def pmic_mw(programs: Programs) -> Optional[float]:
    """The power of a Raspberry Pi 5 in mW; None elsewhere. Raises Garbled."""
    try:
        text = programs.ask("vcgencmd", "pmic_read_adc") or ""
    except Garbled:
        # Older boards don't know the command; whether vcgencmd works at all shows in get_throttled.
        return None
    rails = raspberry.rails_mw(text)
    if rails is None and "current(" in text:
        raise Garbled("pmic_read_adc")
    return raspberry.board_mw(rails) if rails else None


def hwmon(sysroot: str) -> Optional[Read]:
    """The one power monitor of a board in hwmon's uW files; None where there is none, or several and no total."""
    found = []
    for folder in sorted(glob.glob(os.path.join(glob.escape(sysroot), "sys/class/hwmon/hwmon*"))):
        if read_text(folder, "name") in _METERS:
            names = ("power1_input", "power1_average")
            found += [os.path.join(folder, name) for name in names if os.path.exists(os.path.join(folder, name))][:1]
    return _microwatts(found[0]) if len(found) == 1 else None


def _microwatts(path: str) -> Read:
    def read() -> Optional[float]:
        value = number(read_text("/", path))
        if value is None:
            raise Garbled(path)
        return value / 1000

    return read


def battery(sysroot: str) -> Optional[Read]:
    """What a battery gives while nothing charges it, in mW; None where there is none or it is being charged."""
    for folder in sorted(glob.glob(os.path.join(glob.escape(sysroot), "sys/class/power_supply/*"))):
        if read_text(folder, "type") != "Battery" or read_text(folder, "scope") == "Device":
            continue
        if read_text(folder, "status") == "Discharging":
            return partial(_battery_mw, folder)
    return None


def _battery_mw(folder: str) -> Optional[float]:
    if read_text(folder, "status") != "Discharging":
        return None
    microwatts = number(read_text(folder, "power_now"))
    if microwatts is not None:
        return abs(microwatts) / 1000
    microamperes, microvolts = (number(read_text(folder, name)) for name in ("current_now", "voltage_now"))
    if microamperes is None or microvolts is None:
        return None
    # Some drivers give the current of a battery that is emptied as negative.
    return abs(microamperes) * microvolts / 1e9


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
