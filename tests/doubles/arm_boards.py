"""Which boards the ARM doubles stand for: userland, processor, and what their /sys, /proc and tools show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.doubles.arm_root import RootRecipe

_CPU = "sys/devices/system/cpu"
_PARTS = {
    "cortex-a7": "0xc07",
    "cortex-a53": "0xd03",
    "cortex-a57": "0xd07",
    "cortex-a72": "0xd08",
    "cortex-a76": "0xd0b",
}
# As a Raspberry Pi 4 under Raspberry Pi OS prints it.
_FLAGS = "fp asimd evtstrm crc32 cpuid"
_FLAGS_32 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"

_VCGENCMD = """#!/bin/sh
# What a Raspberry Pi's own tool prints; the throttle bits are in a file, so that a test can set them.
case "$1" in
  get_throttled) read -r bits < /run/throttled && echo "throttled=$bits" ;;
  measure_temp) echo "temp=39.5'C" ;;
  measure_clock) echo "frequency(48)=1800457088" ;;
  measure_volts) echo "volt=0.7200V" ;;
  *) echo "error=1 error_msg=\\"Command not registered\\"" ;;
esac
"""
_TEGRASTATS = """#!/bin/sh
# A line as an Orin Nano prints it, every --interval milliseconds.
interval=1000
[ "$1" = --interval ] && interval=$2
while echo "10-08-2026 04:38:21 RAM 1343/7620MB (lfb 157x4MB) SWAP 165/3810MB (cached 3MB) \
CPU [0%@1497,0%@729,0%@729,0%@729,0%@729,0%@729] EMC_FREQ 15%@204 GR3D_FREQ 0%@[305] NVDEC off NVJPG off \
VIC off OFA off APE 200 cpu@48.562C soc2@46.593C soc0@46.875C gpu@48.031C tj@49.312C soc1@46.812C \
VDD_IN 5251mW/8535mW VDD_CPU_GPU_CV 512mW/1944mW VDD_SOC 2720mW/3659mW"; do
  sleep "$((interval / 1000)).$(printf %03d $((interval % 1000)))"
done
"""
_NVPMODEL = """#!/bin/sh
case "$1" in
  -q) printf 'NV Power Mode: 25W\\n1\\n' ;;
  *) echo "NVPM ERROR: Error opening /sys: Permission denied" >&2; exit 1 ;;
esac
"""


@dataclass(frozen=True)
class Board:
    """One kind of board. model: of the device tree; cpu: qemu's name of its cores (never its default `max`, with which
    LiteRT's INT8 comes out wrong); target: what it is deployed to; user: who logs in; files: path -> text, laid over
    the userland; scripts: the same, executable.
    """

    target: str
    root: RootRecipe
    model: str
    cpu: str
    cores: int
    max_khz: int
    user: str = "pi"
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    def tree(self) -> dict[str, str]:
        """Every file that the board shows beyond its userland, without the leading slash.

        The lists of cores aren't decoration: without them XNNPACK isn't used, and some onnxruntimes abort.
        """
        every = f"0-{self.cores - 1}\n"
        found = {f"{_CPU}/{name}": every for name in ("present", "possible", "online")}
        for core in range(self.cores):
            clock = f"{_CPU}/cpu{core}/cpufreq"
            found |= {
                f"{clock}/scaling_governor": "ondemand\n",
                f"{clock}/scaling_cur_freq": f"{self.max_khz}\n",
                f"{clock}/scaling_min_freq": "600000\n",
                f"{clock}/scaling_max_freq": f"{self.max_khz}\n",
                f"{clock}/cpuinfo_max_freq": f"{self.max_khz}\n",
            }
        if self.model:
            found["sys/firmware/devicetree/base/model"] = self.model + "\0"
        return found | dict(self.files)

    def cpuinfo(self) -> str:
        """/proc/cpuinfo as an ARM kernel writes it."""
        wide = self.root.arch == "arm64"
        named = "" if wide else "model name\t: ARMv7 Processor rev 3 (v7l)\n"
        core = (
            f"{named}BogoMIPS\t: 108.00\nFeatures\t: {_FLAGS if wide else _FLAGS_32}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: {8 if wide else 7}\nCPU variant\t: 0x0\nCPU part\t: {_PARTS[self.cpu]}\n"
            "CPU revision\t: 3\n"
        )
        text = "\n".join(f"processor\t: {number}\n{core}" for number in range(self.cores))
        return text + (f"\nModel\t\t: {self.model}\n" if self.model else "")


def _thermal(**zones: int) -> dict[str, str]:
    """Thermal zones by their type, in thousandths of a degree Celsius."""
    found: dict[str, str] = {}
    for number, (kind, value) in enumerate(zones.items()):
        place = f"sys/class/thermal/thermal_zone{number}"
        found |= {f"{place}/type": kind.replace("_", "-") + "\n", f"{place}/temp": f"{value}\n"}
    return found


def _ina3221() -> dict[str, str]:
    """The power sensor of an Orin Nano or NX: channel -> label, millivolts, milliamperes."""
    place = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    rails = (("VDD_IN", 5064, 1037), ("VDD_CPU_GPU_CV", 5064, 101), ("VDD_SOC", 5064, 537))
    found = {f"{place}/name": "ina3221\n"}
    for number, (label, millivolts, milliamperes) in enumerate(rails, 1):
        found[f"{place}/in{number}_label"] = f"{label}\n"
        found[f"{place}/in{number}_input"] = f"{millivolts}\n"
        found[f"{place}/curr{number}_input"] = f"{milliamperes}\n"
    return found


def _pi(model: str, cpu: str, max_khz: int, target: str = "raspberry-pi", root: RootRecipe | None = None) -> Board:
    files, scripts = _thermal(cpu_thermal=39500), {"usr/bin/vcgencmd": _VCGENCMD}
    return Board(target, root or RootRecipe(), model, cpu, 4, max_khz, files=files, scripts=scripts)


_JETSON = {"usr/bin/tegrastats": _TEGRASTATS, "usr/sbin/nvpmodel": _NVPMODEL}
_R36 = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
_R35 = "# R35 (release), REVISION: 5.0, GCID: 35550185, BOARD: t186ref, EABI: aarch64, DATE: Tue Feb 20 2024\n"

# Android isn't here: Termux is built against bionic, and no Android system can be started without its own kernel.
BOARDS: Mapping[str, Board] = {
    "raspberry-pi": _pi("Raspberry Pi 4 Model B Rev 1.4", "cortex-a72", 1800000),
    "raspberry-pi-5": _pi("Raspberry Pi 5 Model B Rev 1.0", "cortex-a76", 2400000),
    "raspberry-pi-zero-2": _pi("Raspberry Pi Zero 2 W Rev 1.0", "cortex-a53", 1000000),
    "raspberry-pi-32": _pi(
        "Raspberry Pi 2 Model B Rev 1.1", "cortex-a7", 900000, "raspberry-pi-32", RootRecipe("armhf")
    ),
    # JetPack 6 is Ubuntu 22.04 (Python 3.10, glibc 2.35); of Debian, bookworm is nearest. Its Cortex-A78AE is unknown
    # to qemu 7.2, whose nearest is the A76: both have the dot product.
    "jetson": Board(
        "jetson",
        RootRecipe(),
        "NVIDIA Jetson Orin Nano Developer Kit",
        "cortex-a76",
        6,
        1510400,
        user="nvidia",
        files={
            **_thermal(cpu_thermal=48562, gpu_thermal=48031, tj_thermal=49312),
            **_ina3221(),
            "etc/nv_tegra_release": _R36,
        },
        scripts=_JETSON,
    ),
    # JetPack 5 is Ubuntu 20.04 (Python 3.8, glibc 2.31); of Debian, bullseye is nearest (3.9, the same glibc).
    "jetson-xavier": Board(
        "jetson-xavier",
        RootRecipe("arm64", "bullseye"),
        "NVIDIA Jetson Xavier NX Developer Kit",
        "cortex-a72",
        6,
        1907200,
        user="nvidia",
        files={**_thermal(CPU_therm=39000, GPU_therm=38500), "etc/nv_tegra_release": _R35},
        scripts=_JETSON,
    ),
    "linux-arm64": Board("linux-arm64", RootRecipe("arm64", "trixie"), "", "cortex-a72", 4, 2000000, user="debian"),
}
