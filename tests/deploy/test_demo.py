"""`./inv farm.demo` as a person types it: minutes of real nights on a small farm of board doubles, and what a team gets
of them: the record, the exit status, JUnit XML, Markdown and the dashboard's first screen."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from device_agents.farm.night.record import nights
from device_agents.farm.series.verdict import blamed
from pipeline import demo
from pipeline.demo import PLANTED, STEADY
from tests.deploy.cli import run
from tests.device_agents.farm.dashboard.read import Page
from tests.doubles.loopback import sshd_path
from tests.prerequisites import require

pytestmark = [pytest.mark.slow, pytest.mark.device, pytest.mark.alone]

BOARDS = 2


def test_demo_catches_its_plant_and_nothing_else(tmp_path: Path) -> None:
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed: apt-get install openssh-client")
    ended = run(tmp_path, "farm.demo", "--no-open", "--devices", str(BOARDS), timeout=1500)
    assert ended.status == 0, ended.text
    assert "the plant was caught, and nothing else" in ended.text
    state = tmp_path / "demo" / "state"
    found = nights(state)

    assert {build.state for build in found[0].builds} == {"built"}
    assert {build.state for build in found[1].builds} == {"cached"}, "a quiet night builds nothing"
    assert "Same or faster" in ended.text
    # A busy machine may have made one of a night's measurements invalid; the demonstration adds a night for it.
    _, *later = [night for night in found if night.status == 0]
    assert later, "nothing is compared before the second whole night"
    for night in later:
        exact = [one["verdict"] for one in night.verdicts if one["metric"] in ("size", "accuracy")]
        assert exact == ["same"] * 4 * BOARDS, "two metrics of two models on every board"

    last = found[-1]
    assert last.status == 1
    worse = demo.regressions(last)
    assert {one["key"]["model"] for one in worse} == {PLANTED}
    assert {blamed(one) for one in worse} == {"model"}
    assert f"WORSE  {PLANTED}" in ended.text and f"WORSE  {STEADY}" not in ended.text
    assert _red(state / demo.JUNIT) == {PLANTED}
    assert f"| {PLANTED} | trained |" in (state / demo.MARKDOWN).read_text()

    first_screen = Page((state / "dashboard" / "index.html").read_text("utf-8").partition("</section>")[0]).text
    assert all(f"{PLANTED} trained on {device.name}" in first_screen for device in last.devices), first_screen
    assert "slower" in first_screen and "To blame: the model (" in first_screen
    assert f"{STEADY} trained" not in first_screen


def _red(junit: Path) -> set[str]:
    """The models that JUnit says got worse."""
    root = ET.parse(junit).getroot()
    failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert int(root.attrib["failures"]) == len(failed)
    return {case.attrib["classname"].rpartition(".")[2] for case in failed}
