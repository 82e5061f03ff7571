"""Faults in the middle of whole nights: links, devices, agents, disks, hosts and boards that are not what they were.

Real nights, agents and links on small farms of board doubles. Whatever happens, `NightFarm.checked` asks the same after
it: nothing lost, nothing wrong in the ledger, nothing left running.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from device_agents.agent.lock import holder
from device_agents.farm.night.record import DONE, Night
from device_agents.farm.quarantine import Quarantine
from tests.deploy.night import GAVE_A_REPORT, TWO, FarmOf, link_of, states
from tests.device_agents.farm.dashboard.read import Page
from tests.doubles.disk import Filler
from tests.doubles.farm import Member

pytestmark = [pytest.mark.slow, pytest.mark.device]

SLOW_LINK = 40_000.0
"""Bytes a second, at which a bundle takes more than one."""
OUTAGE_S = 20.0


# The link.


@pytest.mark.parametrize("fault", ["cut", "freeze", "black_hole"])
def test_link_that_fails_at_any_phase_costs_an_attempt_and_nothing_else(farm_of: FarmOf, fault: str) -> None:
    farm = farm_of(4)
    connecting, sending, measuring, ending = farm.boards
    first = link_of(connecting)

    def fail() -> None:
        getattr(first, fault)()
        first.later(OUTAGE_S, first.heal)

    first.at_byte(1, fail)
    link_of(sending).rate = SLOW_LINK
    farm.break_link(sending, fault, lambda: _has_some_of_a_bundle(sending))
    farm.break_link(measuring, fault, lambda: farm.told(measuring, "block"))
    farm.break_link(ending, fault, lambda: farm.told(ending, "memory"))
    night = farm.night()
    assert states(night) <= set(GAVE_A_REPORT)
    attempts = {job.device: job.attempts for job in night.jobs}
    assert all(attempts[member.name] > 1 for member in (sending, measuring, ending)), attempts


# The device.


def kill_agent(member: Member) -> None:
    """SIGKILL to who holds the device's lock."""
    held = holder(str(member.double.root))
    assert held is not None
    os.kill(held["pid"], signal.SIGKILL)


@pytest.mark.parametrize("mishap", [Member.restart, kill_agent])
def test_device_that_restarts_or_loses_its_agent_is_measured_again(
    farm_of: FarmOf, mishap: Callable[[Member], None]
) -> None:
    farm = farm_of(2)
    hit, spared = farm.boards
    farm.when(lambda: farm.told(hit, "block"), partial(mishap, hit), "the mishap")
    night = farm.night()
    assert states(night) <= set(GAVE_A_REPORT)
    attempts = {job.device: job.attempts for job in night.jobs}
    assert attempts[hit.name] > 1 and attempts[spared.name] == 1


def test_device_that_never_answers_is_told_and_the_other_is_measured(farm_of: FarmOf) -> None:
    farm = farm_of(2)
    dead, other = farm.boards
    dead.cut_power()
    night = farm.night()
    assert night.status == 2
    assert {device.name: device.state for device in night.devices} == {dead.name: "unreachable", other.name: "healthy"}
    assert states(night, dead) == {"skipped"} and states(night, other) <= set(GAVE_A_REPORT)


def test_full_disk_on_a_device_costs_its_own_jobs_alone(
    disk_at: Callable[[Path, int], Path], farm_of: FarmOf, tmp_path: Path
) -> None:
    filler = Filler(disk_at(tmp_path / "farm" / "board-1" / "sshd" / "device", 24))
    farm = farm_of(2, TWO)
    full, other = farm.boards
    farm.when(lambda: farm.told(full, "block"), filler.start, "the disk fills")
    night = farm.night()
    filler.stop()
    assert night.status == 2
    assert states(night, other) <= set(GAVE_A_REPORT)
    (refused,) = (job for job in night.jobs if job.device == full.name and job.attempts and job.report is None)
    assert refused.state == "failed" and "has no room" in (refused.problem or "")
    assert states(farm.night()) <= set(GAVE_A_REPORT)


def test_three_of_eight_that_die_take_no_other_along_are_told_and_come_back(farm_of: FarmOf, tmp_path: Path) -> None:
    farm = farm_of(8, TWO)
    dying = [farm.boards[name] for name in ("board-2", "board-5", "board-8")]
    names = {member.name for member in dying}
    for member in dying:
        farm.when(partial(farm.told, member, "block"), member.cut_power, f"{member.name} dies")
    markdown = tmp_path / "night.md"
    ended = farm.ended(farm.start("--markdown", str(markdown)))
    night = farm.checked(ended)
    assert night.status == ended.status == 2, ended.text
    assert "Farm trouble" in ended.text
    _pages_tell_what_is_missing(night, farm.state / "dashboard" / "index.html", markdown)
    assert {device.name for device in night.devices if device.state == "died"} == names
    assert {device.state for device in night.devices if device.name not in names} == {"healthy"}
    for member in farm.boards:
        wanted = {"failed", "skipped"} if member.name in names else set(GAVE_A_REPORT)
        assert states(night, member) <= wanted, member.name
    assert {entry.name for entry in Quarantine.read(farm.state).inside} == names
    for member in dying:
        member.restart()
    assert states(farm.night()) <= set(GAVE_A_REPORT)
    assert Quarantine.read(farm.state).inside == []


def _pages_tell_what_is_missing(night: Night, index: Path, markdown: Path) -> None:
    """What was not measured, and nothing else, is listed on the dashboard and in the Markdown."""
    absent = [job for job in night.jobs if job.state not in DONE]
    first_screen = Page(index.read_text("utf-8").partition("</section>")[0]).text
    assert f"{len(absent)} of {len(night.jobs)} jobs were not measured" in first_screen
    page = Page.of(index).text
    listed = page.partition("Not measured what state why")[2].partition(" Devices ")[0]
    told = markdown.read_text().partition("### Not measured")[2].partition("###")[0]
    for job in night.jobs:
        assert (f"{job.model} on {job.device}" in listed) is (job in absent), listed
        assert (f"| {job.model} | {job.device} |" in told) is (job in absent), told
    dead = [device.name for device in night.devices if device.state == "died"]
    assert all(f"./inv devices.doctor {name}" in page for name in dead)


# The host.


def _has_some_of_a_bundle(member: Member) -> bool:
    with suppress(OSError):
        return any(path.is_file() for path in (member.double.root / "bundles").rglob("*"))
    return False
