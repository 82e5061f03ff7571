"""Faults in the middle of whole nights: links, devices, agents, disks, hosts and boards that are not what they were.

Real nights, agents and links on small farms of board doubles. Whatever happens, `NightFarm.checked` asks the same after
it: nothing lost, nothing wrong in the ledger, nothing left running.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest

from device_agents.agent.lock import holder
from device_agents.farm.night.record import DONE, Night, newest
from device_agents.farm.quarantine import Quarantine
from tests.deploy.cli import run
from tests.deploy.night import GAVE_A_REPORT, NightFarm, build_store, link_of, night_farm
from tests.device_agents.farm.dashboard.read import Page
from tests.device_agents.farm.jobs import wait_until
from tests.doubles.disk import Filler, small_disk
from tests.doubles.farm import Member

pytestmark = [pytest.mark.slow, pytest.mark.device, pytest.mark.boards]

TWO = {"one": 6, "two": 3}
ONE = {"one": 6}
SLOW_LINK = 40_000.0
"""Bytes a second, at which a bundle takes more than one."""
OUTAGE_S = 20.0
OVERLAP_S = 3.0
"""A host says that a job began before it asks for the lock, and that it ended once it has heard so."""


class FarmOf(Protocol):
    """Opens a farm of so many boards."""

    def __call__(self, devices: int, models: Mapping[str, int] = ONE, parallel: int = 4) -> NightFarm: ...


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state in which all is built."""
    return build_store(tmp_path_factory.mktemp("built"), TWO)


@pytest.fixture
def disk_at() -> Iterator[Callable[[Path, int], Path]]:
    """Mounts a file system of so many MB. Asked for before the farm that shall lie on it, so that it goes last."""
    with ExitStack() as stack:
        yield lambda folder, megabytes: stack.enter_context(small_disk(folder, megabytes))


@pytest.fixture
def farm_of(tmp_path: Path, store: Path) -> Iterator[FarmOf]:
    with ExitStack() as stack:

        def opened(devices: int, models: Mapping[str, int] = ONE, parallel: int = 4) -> NightFarm:
            return stack.enter_context(night_farm(tmp_path, devices, models, store=store, parallel=parallel))

        yield opened


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


def test_full_disk_on_the_host_is_told_and_the_night_goes_on_once_there_is_room(
    disk_at: Callable[[Path, int], Path], farm_of: FarmOf, tmp_path: Path
) -> None:
    filler = Filler(disk_at(tmp_path / "state", 96))
    farm = farm_of(2)
    first, _ = farm.boards
    farm.when(lambda: farm.told(first, "block"), filler.start, "the disk fills")
    ended = farm.ended(farm.start())
    filler.stop()
    assert ended.status == 2, ended.text
    assert "could not be kept" in ended.text and "record can't be written" in ended.text, ended.text
    assert "Traceback" not in ended.text, ended.text
    cut_off = newest(farm.state)
    assert cut_off is not None and cut_off.finished is None
    night = farm.night()
    assert night.id == cut_off.id
    assert states(night) <= set(GAVE_A_REPORT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_night_that_is_cut_off_is_gone_on_with_and_measures_nothing_twice(
    farm_of: FarmOf, number: signal.Signals
) -> None:
    farm = farm_of(2, TWO, parallel=1)
    process = farm.start()
    wait_until(
        lambda: bool(farm.reports()) and any(job.state == "running" for job in farm.jobs()), "mid-night", seconds=300
    )
    os.killpg(process.pid, number)
    ended = farm.ended(process)
    assert "Traceback" not in ended.text, ended.text
    before, cut_off = farm.reports(), newest(farm.state)
    night = farm.night()
    assert cut_off is not None and cut_off.finished is None and night.id == cut_off.id
    assert states(night) <= set(GAVE_A_REPORT)
    known = {job.report for job in night.jobs if job.state == "known"}
    assert {report.id for report in before if report.valid} <= known
    valid = Counter((report.device["name"], report.model) for report in farm.reports() if report.valid)
    assert set(valid.values()) <= {1}, valid


def test_two_hosts_that_race_for_one_device_each_measure_it_alone(farm_of: FarmOf, tmp_path: Path) -> None:
    one = farm_of(1, TWO)
    hosts = [one, one.from_another_host(tmp_path / "other")]
    processes = [host.start() for host in hosts]
    ended = [host.ended(process) for host, process in zip(hosts, processes, strict=True)]
    found = [host.checked(end) for host, end in zip(hosts, ended, strict=True)]
    assert all(states(night) <= set(GAVE_A_REPORT) for night in found)
    attempts = [job.attempts for night in found for job in night.jobs]
    assert sum(attempts) > len(attempts), "neither met the other"
    spans = sorted((seconds(report.started), seconds(report.finished)) for host in hosts for report in host.reports())
    assert len(spans) == len(attempts)
    assert all(later[0] > earlier[1] - OVERLAP_S for earlier, later in pairwise(spans)), spans


# Another board under the same name.


def test_board_that_was_replaced_is_left_alone_until_it_is_adopted(farm_of: FarmOf) -> None:
    farm = farm_of(1)
    (member,) = farm.boards
    farm.night()
    before = farm.reports()
    member.board.replaced()
    night = farm.night()
    assert (night.status, [device.state for device in night.devices]) == (2, ["replaced"])
    assert [job.state for job in night.jobs] == ["skipped"]
    assert f"./inv devices.adopt {member.name}" in (night.jobs[0].remedy or "")
    assert farm.reports() == before
    adopted = run(farm.state, "devices.adopt", member.name, EDGEWRIGHT_ROOT=str(farm.root))
    assert adopted.status == 0, adopted.text
    night = farm.night()
    assert states(night) <= set(GAVE_A_REPORT)
    assert len({report.device["identity"] for report in farm.reports()}) == 2


def test_board_that_is_replaced_within_a_night_gives_no_valid_report(farm_of: FarmOf) -> None:
    farm = farm_of(1, TWO)
    (member,) = farm.boards
    farm.when(lambda: bool(farm.reports()), member.board.replaced, "another board")
    night = farm.night()
    _, later = sorted(night.jobs, key=lambda job: job.report or "")
    assert night.status == 2
    assert later.state == "invalid" and "another board answers" in (later.problem or "")


def states(night: Night, member: Member | None = None) -> set[str]:
    """How the jobs ended, of a device or of all."""
    return {job.state for job in night.jobs if member is None or job.device == member.name}


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _has_some_of_a_bundle(member: Member) -> bool:
    with suppress(OSError):
        return any(path.is_file() for path in (member.double.root / "bundles").rglob("*"))
    return False
