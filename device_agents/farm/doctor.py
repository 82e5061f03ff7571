"""What would spoil a measurement on a device, and the command that mends it; with a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Protocol

from device_agents.farm import doctor_rules
from device_agents.farm.doctor_rules import Patient

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry
    from targets.schema import Target

Level = Literal["blocks", "spoils", "note"]
LEVELS: tuple[Level, ...] = ("blocks", "spoils", "note")

CANARIES = 20
# The slowest tenth against the quickest tenth: beyond it, differences of a few per cent between variants drown.
STEADY = 1.10


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. remedy: the command to type on the device, or what to do there."""

    level: Level
    what: str
    remedy: str
    key: str

    def to_json(self) -> dict[str, str]:
        """As one JSON object."""
        return asdict(self)


class Doctored(Protocol):
    """What the doctor needs of a device (farm/device.py)."""

    entry: DeviceEntry

    def probe(self) -> dict[str, Any]:
        """{"facts", "state"}."""


def diagnose(
    facts: dict[str, Any], state: dict[str, Any], entry: DeviceEntry, target: Target | None = None
) -> list[Finding]:
    """What the probes tell against measuring on this device, the worst first; what isn't known is no finding.

    facts, state: as the agent's probe gives them. target: the kind that the device is declared as.
    """
    patient = Patient(facts, state, entry, target)
    found = [
        Finding(complaint.level, complaint.what, complaint.remedy, rule.__name__)
        for rule in doctor_rules.RULES
        for complaint in rule(patient)
    ]
    return ordered(found)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; within a level in the order given."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def canary_finding(times: list[int]) -> Finding | None:
    """Whether the same work takes the same time again and again. times: ns; None where it does, or too few tell."""
    if len(times) < 10:
        return None
    several = sorted(times)
    tenth = len(several) // 10
    quick, slow = median(several[: 2 * tenth + 1]), median(several[-2 * tenth - 1 :])
    if slow <= STEADY * quick:
        return None
    return Finding(
        "spoils",
        f"the same work took {several[0] / 1e6:.2f} to {several[-1] / 1e6:.2f} ms in {len(times)} goes",
        doctor_rules.WHO_IS_BUSY,
        "canary",
    )


def verdict(findings: list[Finding]) -> str:
    """One sentence: "fit to measure", "measures, but ..." or "not fit: ...", by the worst of the findings."""
    for level, text in (("blocks", "not fit: {}"), ("spoils", "measures, but {}")):
        of_level = [finding for finding in findings if finding.level == level]
        if of_level:
            more = len(of_level) - 1
            return text.format(of_level[0].what) + (f" (and {more} more)" if more else "")
    return "fit to measure"


def doctor(device: Doctored, target: Target | None = None) -> tuple[list[Finding], str]:
    """Examines a connected device: (findings, the worst first; the verdict in one sentence).

    Raises what a connection raises: LinkLost, AgentLost, AgentFailed.
    """
    found = device.probe()
    findings = diagnose(found["facts"], found["state"], device.entry, target)
    # A phone by adb has no agent; an emulated device's times mean nothing anyway.
    ask = getattr(device, "ask", None)
    if ask is not None and not device.entry.emulated:
        canary = canary_finding(ask("canary", "--times", str(CANARIES))["ns"])
        findings = ordered([*findings, *([canary] if canary else [])])
    return findings, verdict(findings)


def lines(findings: list[Finding]) -> list[str]:
    """Findings as text, the remedy on a line of its own under each."""
    shown = []
    for finding in findings:
        shown.append(f"  {finding.level:<7} {finding.what}")
        if finding.remedy:
            shown.append(f"  {'':<7}   {finding.remedy}")
    return shown
