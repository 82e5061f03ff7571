"""What a measurement is worth: bad state makes it invalid, with the reason named; what is only unsure is a warning."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from targets.schema import Sensors

CANARY_BOUND = 1.5
# A slow stretch lasts where it is this many canaries long and this share of them all; a shorter one is an interruption,
# which the interleaving spreads over all variants alike.
CANARY_RUN = 3
CANARY_SHARE = 0.2
OTHERS_INVALID = 0.5
OTHERS_WARNING = 0.1
BLOCK_BOUND = 1.10
UNSTEADY_INVALID = 0.5
UNSTEADY_WARNING = 0.1
HELD_INVALID = 0.2
HELD_WARNING = 0.1
"""Of the time of a job's blocks, what the core stood idle though its worker had work for it. As a rule it is under a
hundredth; the tick of the kernel's clock blurs it by some more."""

# Android's status from which on it slows the chip down; at 1 it only begins to.
MODERATE = 2

NOW_BITS = {0: "undervoltage", 1: "capped clock", 2: "throttling", 3: "soft temperature limit"}
STATUS_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SENSORS = ("governor", "freq_khz", "temperature_c", "throttled")
_KINDS = {"throttling": "throttling", "temperature": "temperature", "power": "power", "power_mode": "power mode"}

State = dict[str, Any]


def status_name(status: int) -> str:
    """Android's word for a thermal status."""
    return STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else str(status)


def throttle_problems(before: State, after: State) -> list[str]:
    """Raspberry Pi throttle bits: any that is on now at either end, any "has occurred" bit that came in the job."""
    problems = []
    for when, state in (("before", before), ("after", after)):
        bits = state.get("throttled")
        problems += [f"{name} {when} the job" for bit, name in NOW_BITS.items() if bits is not None and bits >> bit & 1]
    first, last = before.get("throttled"), after.get("throttled")
    if first is not None and last is not None:
        came = (last & ~first) >> 16
        problems += [f"{name} happened in the job" for bit, name in NOW_BITS.items() if came >> bit & 1]
    return problems


def thermal_findings(before: State, after: State) -> tuple[list[str], list[str]]:
    """(problems, warnings) of Android's thermal status at either end."""
    problems: list[str] = []
    warnings: list[str] = []
    for when, state in (("before", before), ("after", after)):
        status = state.get("thermal_status")
        if status:
            text = f"the thermal status was {status_name(status)} {when} the job"
            (problems if status >= MODERATE else warnings).append(text)
    return problems, warnings


def change_problems(before: State, after: State) -> list[str]:
    """What isn't the same at both ends and changes speed. What one end doesn't know isn't a change."""
    problems = []
    for key, text in (
        ("governor", "the frequency governor changed in the job"),
        ("power_mode", "the power mode changed in the job"),
        ("clocks_locked", "the clocks were {} in the job"),
        ("boot_id", "the device restarted in the job"),
    ):
        one, two = before.get(key), after.get(key)
        if one is not None and two is not None and one != two:
            shown = f" ({one} > {two})" if key in ("governor", "power_mode") else ""
            problems.append(text.format("locked" if two else "unlocked") + shown)
    return problems


def drift_warnings(before: State, after: State) -> list[str]:
    """What happened to the device in the job and may have slowed a part of it."""
    warnings = []
    one, two = before.get("max_freq_khz"), after.get("max_freq_khz")
    if one is not None and two is not None and one != two:
        warnings.append(f"the highest clock allowed changed in the job ({one / 1000:.0f} > {two / 1000:.0f} MHz)")
    one, two = before.get("swap_used_bytes"), after.get("swap_used_bytes")
    if one is not None and two is not None and two - one > 1 << 20:
        warnings.append(f"{(two - one) / 1e6:.0f} MB of memory were swapped out in the job")
    return warnings


def comparable(one: State, other: State) -> str | None:
    """Why the times of two reports can't be compared, by their states; None where nothing speaks against it.

    A device in another power mode, or with other clocks, is another device. What one of them doesn't know isn't a
    difference.
    """
    for key, text in (
        ("power_mode", "different power modes: {} and {}"),
        ("clocks_locked", "the clocks were {} for one and {} for the other"),
        ("governor", "different frequency governors: {} and {}"),
        ("max_freq_khz", "different highest clocks: {} and {} MHz"),
    ):
        first, second = one.get(key), other.get(key)
        if first is None or second is None or first == second:
            continue
        if key == "clocks_locked":
            first, second = ("locked" if value else "free" for value in (first, second))
        elif key == "max_freq_khz":
            first, second = (f"{value / 1000:.0f}" for value in (first, second))
        return text.format(first, second)
    return None


def absent_sensors(state: State, sensors: Sensors | None) -> dict[str, str]:
    """{kind: source} of what the target says that its devices tell, and this one doesn't, by whatever source."""
    if sensors is None:
        return {}
    told = state.get("sources") or {}
    wanted = {kind: getattr(sensors, kind) for kind in _KINDS}
    return {kind: source for kind, source in wanted.items() if source is not None and not told.get(kind)}


def sensor_warnings(before: State, after: State, sensors: Sensors | None, target: str) -> list[str]:
    """Sensors that give garbage, that the target promises and the device lacks, and that nobody tells."""
    garbled = sorted({*(before.get("garbled") or ()), *(after.get("garbled") or ())})
    warnings = [f"sensors of this device that gave no reading: {', '.join(garbled)}"] if garbled else []
    absent = absent_sensors(before, sensors)
    for kind, source in absent.items():
        text = f"{target or 'this target'} should tell its {_KINDS[kind]} by {source}, this device doesn't"
        rails = before.get("rails_mw") if kind == "power" else None
        warnings.append(text + (f": its rails ({', '.join(rails)}) don't add up to the whole" if rails else ""))
    said = {"temperature_c"} if "temperature" in absent else set()
    # Only a Raspberry Pi has these bits: where the target is known, it says above whether they are missed.
    if sensors is not None or before.get("thermal_status") is not None:
        said.add("throttled")
    missing = [name for name in _SENSORS if before.get(name) is None and name not in said]
    return warnings + ([f"this device doesn't say: {', '.join(missing)}"] if missing else [])


def canary_findings(canary: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(problems, warnings) of canaries beyond 1.5 times the quick ones: lasting is a problem, passing a warning."""
    times = [int(reading["ns"]) for reading in canary]
    if len(times) < 2:
        return [], []
    # The quicker half, so that a device that is slow for most of the job is still seen against its own best.
    usual = median(sorted(times)[: max(1, len(times) // 2)])
    slow = [time > CANARY_BOUND * usual for time in times]
    longest = run = 0
    for beyond in slow:
        run = run + 1 if beyond else 0
        longest = max(longest, run)
    worst = max(times) / usual
    if longest >= max(CANARY_RUN, CANARY_SHARE * len(times)):
        return [
            f"the device got slower in the job: the canary took up to {worst:.1f} times its usual time and stayed there"
        ], []
    if any(slow):
        return [], [f"the canary took {worst:.1f} times its usual time, {sum(slow)} of {len(slow)} times"]
    return [], []


def unsteady_findings(results: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(problems, warnings) of blocks that stayed beside a slower canary however often they were done again."""
    ratios = [
        block["canary_ratio"]
        for result in results
        for block in result["blocks"]
        if block.get("canary_ratio") is not None
    ]
    slow = sum(ratio > BLOCK_BOUND for ratio in ratios)
    if not ratios or slow < UNSTEADY_WARNING * len(ratios):
        return [], []
    text = f"the device was slower than its own best beside {slow} of {len(ratios)} blocks, though they were done again"
    return ([text], []) if slow > UNSTEADY_INVALID * len(ratios) else ([], [text])


def held_findings(results: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(problems, warnings) of cores that stood idle in the middle of blocks."""
    shares = [block["held"] for result in results for block in result["blocks"] if block.get("held") is not None]
    share = fmean(shares) if shares else 0.0
    if share <= HELD_WARNING:
        return [], []
    text = (
        f"the device's processes were held back for {share:.0%} of the time "
        "(a CPU quota, or a virtual machine that is paused): the model can't be told from that"
    )
    return ([text], []) if share > HELD_INVALID else ([], [text])


def others_findings(share: float | None) -> tuple[list[str], list[str]]:
    """(problems, warnings) of the share of the measured cores that others took."""
    if share is None:
        return [], ["how busy others kept the measured cores is not known here"]
    text = f"others took {share:.0%} of the measured cores' time"
    if share > OTHERS_INVALID:
        return [text], []
    return [], [text] if share >= OTHERS_WARNING else []


def judge(
    before: State,
    after: State,
    canary: list[dict[str, Any]],
    results: list[dict[str, Any]],
    share: float | None,
    pinned: bool,
    *,
    sensors: Sensors | None = None,
    target: str = "",
    emulated: bool = False,
) -> tuple[list[str], list[str]]:
    """(problems, warnings) of a job; it is valid where there are no problems.

    sensors: what the target of that name says that its devices tell; a sensor that this one lacks is a warning. An
    emulated device has neither sensors nor times of its own: its report is worth what its answers are.
    """
    if emulated:
        return _of_answers(before, after, results)
    problems = throttle_problems(before, after) + change_problems(before, after)
    warnings = drift_warnings(before, after)
    for found in (
        thermal_findings(before, after),
        canary_findings(canary),
        unsteady_findings(results),
        held_findings(results),
        others_findings(share),
    ):
        problems += found[0]
        warnings += found[1]
    for result in results:
        if not any(block["samples_ns"] for block in result["blocks"]):
            problems.append(f"{result['name']} has no samples: {result['error'] or 'nothing was measured'}")
        elif result["error"]:
            warnings.append(f"{result['name']}: {result['error']}")
    warnings += sensor_warnings(before, after, sensors, target)
    if not pinned:
        warnings.append("the workers could not be pinned to cores")
    return problems, warnings


def _of_answers(before: State, after: State, results: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    problems = [text for text in change_problems(before, after) if "restarted" in text]
    for result in results:
        if not result.get("accuracy"):
            problems.append(f"{result['name']} gave no answers: {result['error'] or 'nothing was asked'}")
    return problems, []
