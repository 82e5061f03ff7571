"""What a measurement is worth: bad state makes it invalid, with the reason named; what is only unsure is a warning."""

from __future__ import annotations

from statistics import median
from typing import Any

CANARY_BOUND = 1.5
# A slow stretch lasts where it is this many canaries long and this share of them all; a shorter one is an interruption,
# which the interleaving spreads over all variants alike.
CANARY_RUN = 3
CANARY_SHARE = 0.2
OTHERS_INVALID = 0.5
OTHERS_WARNING = 0.1

_NOW_BITS = {0: "undervoltage", 1: "capped clock", 2: "throttling", 3: "soft temperature limit"}
_SENSORS = ("governor", "freq_khz", "temperature_c", "throttled")

State = dict[str, Any]


def throttle_problems(before: State, after: State) -> list[str]:
    """Raspberry Pi throttle bits: any that is on now at either end, any "has occurred" bit that came in the job."""
    problems = []
    for when, state in (("before", before), ("after", after)):
        bits = state.get("throttled")
        problems += [
            f"{name} {when} the job" for bit, name in _NOW_BITS.items() if bits is not None and bits >> bit & 1
        ]
    first, last = before.get("throttled"), after.get("throttled")
    if first is not None and last is not None:
        came = (last & ~first) >> 16
        problems += [f"{name} happened in the job" for bit, name in _NOW_BITS.items() if came >> bit & 1]
    return problems


def change_problems(before: State, after: State) -> list[str]:
    """A governor or a boot that isn't the same at both ends. What one end doesn't know isn't a change."""
    problems = []
    for key, text in (
        ("governor", "the frequency governor changed in the job"),
        ("boot_id", "the device restarted in the job"),
    ):
        one, two = before.get(key), after.get(key)
        if one is not None and two is not None and one != two:
            problems.append(f"{text} ({one} > {two})" if key == "governor" else text)
    return problems


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
) -> tuple[list[str], list[str]]:
    """(problems, warnings) of a job; it is valid where there are no problems."""
    problems = throttle_problems(before, after) + change_problems(before, after)
    warnings = []
    for found in (canary_findings(canary), others_findings(share)):
        problems += found[0]
        warnings += found[1]
    for result in results:
        if not any(block["samples_ns"] for block in result["blocks"]):
            problems.append(f"{result['name']} has no samples: {result['error'] or 'nothing was measured'}")
        elif result["error"]:
            warnings.append(f"{result['name']}: {result['error']}")
    missing = [name for name in _SENSORS if before.get(name) is None]
    if missing:
        warnings.append(f"this device doesn't say: {', '.join(missing)}")
    if not pinned:
        warnings.append("the workers could not be pinned to cores")
    return problems, warnings
