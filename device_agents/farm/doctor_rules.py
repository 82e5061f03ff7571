"""The doctor's rules, one function each, in the order of how much they spoil; none asks the device anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from device_agents.farm.inventory import HOST, STAND_IN
from device_agents.farm.validity import MODERATE, NOW_BITS, absent_sensors, status_name

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry
    from targets.schema import Target

HOT_C = 70.0
LOAD_PER_CORE = 0.5
PRESSURE = 10.0
GPU_BUSY = 10
DISK_NEEDED = 200 << 20
DISK_LOW = 1 << 30
MEMORY_NEEDED = 64 << 20
MEMORY_LOW = 200 << 20
SWAP_MUCH = 64 << 20
OLDEST_PYTHON = (3, 8)

# The same words on Debian and on Android.
WHO_IS_BUSY = "top -b -n 1 | head -20  (and stop what needn't run)"
_GOVERNOR = "sudo sh -c 'echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor'"
_UNCAP = (
    "sudo sh -c 'for c in /sys/devices/system/cpu/cpu*/cpufreq; do cat $c/cpuinfo_max_freq > $c/scaling_max_freq; done'"
)
_SUPPLY = "a supply of 5 V and 3 A (Raspberry Pi 5: 5 A) with a short cable; then sudo reboot"
_SENSOR_REMEDIES = {
    "vcgencmd": "sudo apt-get install raspi-utils  (older releases: libraspberrypi-bin)",
    "tegrastats": "sudo apt-get install nvidia-l4t-tools",
    "nvpmodel": "sudo apt-get install nvidia-l4t-nvpmodel",
    "thermalservice": "Android 10 or later tells it, over adb (docs/android.md)",
}
# How the list of garbled sensors begins for them.
_PRINTED_AS = {"thermal-zone": "thermal_zone", "thermalservice": "dumpsys", "pmic": "vcgencmd"}


class Patient(NamedTuple):
    """What is known of a device."""

    facts: dict[str, Any]
    state: dict[str, Any]
    entry: DeviceEntry
    target: Target | None

    @property
    def real(self) -> bool:
        """A device of the declared kind: neither emulated nor another machine standing in."""
        return not self.entry.emulated and not self.entry.stand_in

    @property
    def jetson(self) -> bool:
        """One of NVIDIA's boards."""
        return bool(self.facts.get("l4t")) or self.state.get("power_mode") is not None

    @property
    def phone(self) -> bool:
        """An Android."""
        return bool(self.facts.get("android"))


@dataclass(frozen=True)
class Complaint:
    """What a rule has to say."""

    level: Literal["blocks", "spoils", "note"]
    what: str
    remedy: str = ""


Rule = Callable[[Patient], Iterator[Complaint]]


def emulated(patient: Patient) -> Iterator[Complaint]:
    """Times of an emulated device mean nothing."""
    if patient.entry.emulated:
        yield Complaint("blocks", "this device is emulated: it proves answers, its times mean nothing")


def machine(patient: Patient) -> Iterator[Complaint]:
    """Another processor, or a 32-bit system, than the target's."""
    named = patient.facts.get("machine")
    if named == "aarch64" and patient.facts.get("bits") == 32:
        named = "armv7l"  # a 32-bit system on a 64-bit kernel
    target = patient.target
    if target is None or not target.machines or named is None or named in target.machines or patient.entry.stand_in:
        return
    what = f"it is {named}, and {target.name} is for {' or '.join(target.machines)}"
    if named == "armv7l":
        remedy = 'a 64-bit system on it; or target = "raspberry-pi-32" in farm.toml'
        yield Complaint("blocks", f"a 32-bit system: {what}", remedy)
    else:
        yield Complaint("blocks", what, "another target in farm.toml: ./inv targets shows them")


def python(patient: Patient) -> Iterator[Complaint]:
    """A Python that is too old for the agent."""
    match = re.match(r"(\d+)\.(\d+)", str(patient.facts.get("python") or ""))
    if match and (int(match[1]), int(match[2])) < OLDEST_PYTHON:
        remedy = 'install a newer one beside it, and set python = "/its/path/python3" in farm.toml'
        yield Complaint("blocks", f"its Python is {patient.facts['python']}; the agent needs 3.8 or later", remedy)


def _typed(entry: DeviceEntry) -> str:
    """A device's name as a task takes it: this machine is `host`."""
    return HOST if entry.name == STAND_IN else entry.name


def disk(patient: Patient) -> Iterator[Complaint]:
    """Room for a runtime and the models."""
    free = patient.state.get("disk_free_bytes")
    if free is not None and free < DISK_LOW:
        level: Literal["blocks", "note"] = "blocks" if free < DISK_NEEDED else "note"
        clean = "" if patient.phone else "sudo apt-get clean; or "
        remedy = f"{clean}./inv devices.setup {_typed(patient.entry)} --undo"
        yield Complaint(level, f"only {free / 1e6:.0f} MB are free on its disk", remedy)


def memory(patient: Patient) -> Iterator[Complaint]:
    """Memory for a model."""
    free = patient.state.get("memory_available_bytes")
    if free is not None and free < MEMORY_LOW:
        level: Literal["blocks", "spoils"] = "blocks" if free < MEMORY_NEEDED else "spoils"
        remedy = "ps -eo pid,rss,comm --sort=-rss | head  (and stop what needn't run)"
        remedy = "close the apps that needn't run" if patient.phone else remedy
        yield Complaint(level, f"only {free / 1e6:.0f} MB of memory are available", remedy)


def throttling(patient: Patient) -> Iterator[Complaint]:
    """A Raspberry Pi's bits: now, and since its start."""
    bits = patient.state.get("throttled") or 0
    now = [name for bit, name in NOW_BITS.items() if bits >> bit & 1]
    been = [name for bit, name in NOW_BITS.items() if bits >> bit >> 16 & 1 and name not in now]
    cool = "a fan or a heat sink, and time to cool: vcgencmd measure_temp"
    if now:
        yield Complaint("spoils", f"now: {', '.join(now)}", _SUPPLY if bits & 1 else cool)
    if been:
        # What is marked already isn't seen when it comes again in a job.
        remedy = _SUPPLY if bits >> 16 & 1 else "sudo reboot  (the marks stay until then and hide the next time)"
        yield Complaint("spoils", f"since its start: {', '.join(been)}", remedy)


def heat(patient: Patient) -> Iterator[Complaint]:
    """Android's own judgement, or a chip near the temperature at which it slows down."""
    status, temperature = patient.state.get("thermal_status"), patient.state.get("temperature_c")
    if status is not None and status >= MODERATE:
        yield Complaint("spoils", f"its thermal status is {status_name(status)}", "let it cool, off the charger")
    if temperature is not None and temperature > HOT_C:
        remedy = "let it cool; a fan or a heat sink: cat /sys/class/thermal/thermal_zone*/temp"
        yield Complaint("spoils", f"it has {temperature:.0f} \N{DEGREE SIGN}C", remedy)


def load(patient: Patient) -> Iterator[Complaint]:
    """Others on its cores or its GPU."""
    load1, cores = patient.state.get("load1"), patient.facts.get("cores")
    waiting, gpu = patient.state.get("psi_cpu_avg10"), patient.state.get("gpu_percent")
    if load1 is not None and cores and load1 / cores > LOAD_PER_CORE:
        yield Complaint("spoils", f"its load is {load1:g} on {cores} cores", WHO_IS_BUSY)
    elif waiting is not None and waiting > PRESSURE:
        yield Complaint("spoils", f"tasks waited for a core in {waiting:g} % of the last 10 s", WHO_IS_BUSY)
    if gpu is not None and gpu > GPU_BUSY:
        yield Complaint("spoils", f"its GPU is {gpu} % busy", "tegrastats  (and stop what uses the GPU)")


def governor(patient: Patient) -> Iterator[Complaint]:
    """A clock that follows the load, unless its lowest is its highest."""
    named, state = patient.state.get("governor"), patient.state
    held = state.get("clocks_locked") or (
        state.get("min_freq_khz") is not None and state.get("min_freq_khz") == state.get("max_freq_khz")
    )
    # jetson_clocks does more than the governor, so on NVIDIA's boards that rule speaks.
    if named is None or named == "performance" or held or patient.jetson:
        return
    if patient.phone:
        yield Complaint("note", f"its frequency governor is {named}", "setting it needs root on a phone")
    else:
        yield Complaint("spoils", f"its frequency governor is {named}, not performance", _GOVERNOR)


def power_mode(patient: Patient) -> Iterator[Complaint]:
    """A Jetson that isn't in its strongest mode."""
    mode, best = patient.state.get("power_mode"), strongest(patient.facts.get("power_modes") or {})
    if mode is None:
        return
    if best is None:
        if not mode.startswith("MAXN") and patient.state.get("power_mode_id") != 0:
            yield Complaint("spoils", f"its power mode is {mode}", "sudo nvpmodel -m 0")
    elif mode != best[0]:
        what = f"its power mode is {mode}, its strongest is {best[0]}"
        yield Complaint("spoils", what, f"sudo nvpmodel -m {best[1]}")


def strongest(modes: dict[str, int]) -> tuple[str, int] | None:
    """The mode without limit (MAXN, MAXN_SUPER), else the one of most watts and cores; None where there are none."""

    def rank(name: str) -> tuple[int, ...]:
        watts, cores = re.search(r"(\d+)W", name), re.search(r"(\d+)_?CORE", name)
        return (
            name.startswith("MAXN"),
            "SUPER" in name,
            int(watts[1]) if watts else 0,
            int(cores[1]) if cores else 0,
            -modes[name],
        )

    best = max(modes, key=rank, default=None)
    return None if best is None else (best, modes[best])


def clocks(patient: Patient) -> Iterator[Complaint]:
    """A Jetson whose clocks follow the load; elsewhere a clock that is kept below the chip's own."""
    if patient.jetson:
        if patient.state.get("clocks_locked") is False:
            yield Complaint("spoils", "its clocks are not locked", "sudo jetson_clocks")
        return
    highest, chip = patient.state.get("max_freq_khz"), patient.facts.get("cpu_max_khz")
    if highest is not None and chip is not None and highest < chip and not patient.phone:
        what = f"its clock is kept at {highest / 1000:.0f} of {chip / 1000:.0f} MHz"
        yield Complaint("spoils", what, _UNCAP)


def swap(patient: Patient) -> Iterator[Complaint]:
    """Memory that was moved out and has to be fetched again."""
    used = patient.state.get("swap_used_bytes")
    if not used:
        return
    # Every phone keeps a part of its memory compressed.
    much = not patient.phone and (used > SWAP_MUCH or (patient.state.get("psi_memory_avg10") or 0) > 0)
    what = f"{used / 1e6:.0f} MB of its memory are swapped out"
    yield Complaint("spoils" if much else "note", what, "" if patient.phone else "sudo swapoff -a")


def pinning(patient: Patient) -> Iterator[Complaint]:
    """Workers that can't be kept on a core."""
    if patient.facts.get("pinning") is False:
        yield Complaint("spoils", "nothing can be pinned to a core there", "leave the device otherwise idle")


def clock(patient: Patient) -> Iterator[Complaint]:
    """A clock that was never set."""
    if patient.state.get("clock_set") is False:
        yield Complaint("note", "its clock was never set", "sudo timedatectl set-ntp true")


def sensors(patient: Patient) -> Iterator[Complaint]:
    """Sensors that give garbage, and those that its kind should have."""
    garbled = patient.state.get("garbled") or []
    if garbled:
        denied = any(name.startswith("vcgencmd") for name in garbled)
        remedy = "sudo usermod -aG video $USER  (and log in again)" if denied else ""
        yield Complaint("note", f"sensors that gave no reading: {', '.join(garbled)}", remedy)
    if not patient.real or patient.target is None:
        return
    for kind, source in absent_sensors(patient.state, patient.target.sensors).items():
        what = f"{patient.target.name} should tell its {kind.replace('_', ' ')} by {source}, this device doesn't"
        if not any(name.startswith(_PRINTED_AS.get(source, source)) for name in garbled):
            yield Complaint("note", what, _SENSOR_REMEDIES.get(source, ""))


def standing_in(patient: Patient) -> Iterator[Complaint]:
    """Another machine than the declared kind."""
    if patient.entry.stand_in:
        what = f"this machine stands in for a {patient.entry.target}: its times are its own"
        yield Complaint("note", what, "name a real device in farm.toml (README)")


RULES: tuple[Rule, ...] = (
    emulated,
    machine,
    python,
    disk,
    memory,
    throttling,
    heat,
    load,
    governor,
    power_mode,
    clocks,
    swap,
    pinning,
    clock,
    sensors,
    standing_in,
)
