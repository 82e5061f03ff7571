"""Faults of the host in the middle of whole nights, two hosts at once, and boards that are not what they were.

As in test_night_faults.py, whose tests are of links and devices: two files, so that two processes share them.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from device_agents.farm.night.record import newest
from tests.deploy.cli import run
from tests.deploy.night import GAVE_A_REPORT, TWO, FarmOf, states
from tests.device_agents.farm.jobs import wait_until
from tests.doubles.disk import Filler

pytestmark = [pytest.mark.slow, pytest.mark.device]

OVERLAP_S = 3.0
"""A host says that a job began before it asks for the lock, and that it ended once it has heard so."""


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


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
