"""What a team gets of its nights, by the tasks that it types: a planted regression in the morning, and dead devices."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from device_agents.farm.night.record import DONE, Night
from device_agents.farm.series.lane import LEAST
from pipeline import demo
from pipeline.demo import MOST_PLANTED, PLANTED, STEADY, blamed, uncaught, write_model
from pipeline.project import Project
from tests.deploy.cli import Ended
from tests.deploy.night import REAL, NightFarm, night_farm
from tests.device_agents.farm.dashboard.read import Page

pytestmark = [pytest.mark.slow, pytest.mark.device, pytest.mark.alone]

LAYERS, MORE = 6, 9
TRIES = 3
"""Nights for one in which all is measured: this machine may be too busy for a valid report."""


class Team:
    """A farm, and what its nights leave: the record, JUnit XML, Markdown, the dashboard."""

    def __init__(self, farm: NightFarm, folder: Path) -> None:
        self.farm = farm
        self.junit, self.markdown = folder / "night.xml", folder / "night.md"

    def night(self) -> tuple[Night, Ended]:
        """A night as cron types it."""
        words = ("--junit", str(self.junit), "--markdown", str(self.markdown))
        ended = self.farm.ended(self.farm.start(*words))
        return self.farm.checked(ended), ended

    def quiet_night(self) -> tuple[Night, Ended]:
        """One after which nothing is wrong."""
        for _ in range(TRIES):
            night, ended = self.night()
            assert night.status != 1, ended.text
            if night.status == 0:
                break
        assert night.status == 0, ended.text
        return night, ended

    def red(self) -> set[str]:
        """The models that JUnit says got worse."""
        root = ET.parse(self.junit).getroot()
        failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
        assert int(root.attrib["failures"]) == len(failed)
        return {case.attrib["classname"].rpartition(".")[2] for case in failed}

    @property
    def index(self) -> Path:
        """The dashboard's first page, which every night writes."""
        return self.farm.state / "dashboard" / "index.html"

    @property
    def first_screen(self) -> str:
        """Its text up to the end of the first section."""
        return Page(self.index.read_text("utf-8").partition("</section>")[0]).text


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_planted_regression_is_caught_blamed_on_the_model_and_seen_at_once(stack: ExitStack, tmp_path: Path) -> None:
    models = {STEADY: LAYERS, PLANTED: LAYERS}
    team = Team(stack.enter_context(night_farm(tmp_path, 2, models, program=REAL)), tmp_path)
    night, _ = team.quiet_night()
    assert {build.model: len(build.variants) for build in night.builds} == {STEADY: 1, PLANTED: 1}

    night, ended = team.quiet_night()
    assert [build.state for build in night.builds] == ["cached", "cached"]
    assert "Same or faster" in ended.text and "WORSE" not in ended.text
    exact = [one["verdict"] for one in night.verdicts if one["metric"] in ("size", "accuracy")]
    assert exact == ["same"] * 8, "two metrics of two models on two boards"
    assert team.red() == set()
    assert "No model got worse." in team.first_screen

    for _ in range(LEAST - 2):
        team.quiet_night()
    write_model(Project(team.farm.root, team.farm.state, tmp_path, None), PLANTED, MORE)
    for _ in range(MOST_PLANTED):
        night, ended = team.night()
        if not uncaught(night):
            break
    assert uncaught(night) == []
    assert night.status == ended.status == 1, ended.text
    worse = demo.regressions(night)
    assert {one["key"]["model"] for one in worse} == {PLANTED}
    assert {blamed(one) for one in worse} == {"model"}
    assert f"WORSE  {PLANTED}" in ended.text
    assert team.red() == {PLANTED}
    seen = team.first_screen
    assert all(f"{PLANTED} trained on {member.name}" in seen for member in team.farm.boards), seen
    assert "slower" in seen and "To blame: the model (" in seen and f"{STEADY} trained" not in seen
    assert f"| {PLANTED} | trained |" in team.markdown.read_text()


def test_three_dying_devices_end_the_night_with_2_and_a_page_that_says_so(stack: ExitStack, tmp_path: Path) -> None:
    team = Team(stack.enter_context(night_farm(tmp_path, 5, {STEADY: LAYERS}, program=REAL)), tmp_path)
    farm = team.farm
    dying = [farm.boards[name] for name in ("board-1", "board-3", "board-5")]
    for member in dying:
        farm.when(partial(farm.told, member, "block"), member.cut_power, f"{member.name} dies")
    night, ended = team.night()
    names = {member.name for member in dying}
    absent = {job.device for job in night.jobs if job.state not in DONE}
    assert night.status == ended.status == 2 and names <= absent, ended.text
    assert {device.name for device in night.devices if device.state == "died"} == names
    assert "Farm trouble" in ended.text
    assert f"{len(absent)} of 5 jobs were not measured" in team.first_screen
    page = Page.of(team.index).text
    listed = page.partition("Not measured what state why")[2].partition(" Devices ")[0]
    told = team.markdown.read_text().partition("### Not measured")[2].partition("###")[0]
    for device in night.devices:
        assert (f"{STEADY} on {device.name}" in listed) is (device.name in absent), listed
        assert (f"| {device.name} |" in told) is (device.name in absent), told
    assert all(f"./inv devices.doctor {name}" in page for name in names)
