"""What goes wrong in the middle of a rollout, at either end and between them: no board is left without its model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from device_agents.errors import DeviceBusy
from pipeline.rollout import fleet as fleets
from pipeline.rollout import rolling
from tests.deploy.cli import ROOT, environment
from tests.deploy.rollouts import Bench, assert_rolled_back, bench, fleet_json, untimed
from tests.device_agents.farm.jobs import agents_of, wait_until
from tests.doubles.farm import Member

pytestmark = [pytest.mark.slow, pytest.mark.device]


def trials_of(member: Member) -> list[int]:
    """The processes that hold a release on trial on a board."""
    found = []
    for pid in agents_of(str(member.double.root)):
        with suppress(OSError):
            if b"\0trial\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_defect_of_ours_in_mid_trial_rolls_back(farm: Bench) -> None:
    def defect() -> None:
        raise ZeroDivisionError("a defect")

    with untimed(defect):
        assert farm.rollout(farm.release("1.1.0")) == 1
    assert_rolled_back(farm, "board-1", "ZeroDivisionError: a defect")


def test_device_whose_job_lasts_longer_is_left_out(farm: Bench) -> None:
    def busy() -> None:
        raise DeviceBusy("board-1 is busy: bob has measured something there.")

    with untimed(busy):
        assert farm.rollout(farm.release("1.1.0")) == 1  # it is the canary
    assert farm.states() == {"board-1": "left out", "board-2": "untouched"}
    assert farm.versions() == dict.fromkeys(farm.names, "1.0.0")


@pytest.mark.parametrize("reset", [False, True])
def test_cut_link_in_mid_trial_rolls_back(farm: Bench, reset: bool) -> None:
    link = farm.farm["board-1"].link
    assert link is not None
    with untimed(lambda: link.cut(reset)):
        assert farm.rollout(farm.release("1.1.0")) == 1
    assert_rolled_back(farm, "board-1", "")
    assert farm.states()["board-2"] == "untouched"


def test_cut_link_while_sending_changes_nothing_and_is_resumed(farm: Bench) -> None:
    link = farm.farm["board-2"].link
    assert link is not None
    folder = farm.release("1.1.0", width=96)  # large enough to be cut in the middle
    with untimed():
        link.at_byte(link.sent + 150_000, link.cut)
        assert farm.rollout(folder) == 2
        assert farm.states() == {"board-1": "good", "board-2": "left out"}
        assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.0.0"}
        assert farm.rollout(resume=True) == 0
    assert farm.versions() == dict.fromkeys(farm.names, "1.1.0")


def test_frozen_link_in_mid_trial_rolls_back_on_the_device(farm: Bench) -> None:
    link = farm.farm["board-1"].link
    assert link is not None

    def freeze() -> None:
        link.freeze()
        wait_until(lambda: farm.versions()["board-1"] == "1.0.0", "the board goes back by itself", 60)
        link.thaw()

    with untimed(freeze):
        assert farm.rollout(farm.release("1.1.0")) == 1
    assert_rolled_back(farm, "board-1", "nothing was heard from the host for 3 s")


def test_killed_trial_is_settled_and_rolled_back(farm: Bench) -> None:
    def kill() -> None:
        (pid,) = trials_of(farm.farm["board-1"])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not trials_of(farm.farm["board-1"]), "the trial is dead")
        assert farm.versions()["board-1"] == "1.1.0"  # nobody is there to go back, and the release is whole

    with untimed(kill):
        assert farm.rollout(farm.release("1.1.0")) == 1
    assert_rolled_back(farm, "board-1", "")


def test_board_that_restarts_in_mid_trial_is_rolled_back(farm: Bench) -> None:
    with untimed(farm.farm["board-1"].restart):
        assert farm.rollout(farm.release("1.1.0")) == 1
    assert_rolled_back(farm, "board-1", "")


def test_board_that_dies_in_mid_trial_is_settled_by_the_fleet(
    farm: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = farm.farm["board-1"]
    monkeypatch.setattr(rolling, "PATIENCE_S", 1.0)
    with untimed(board.cut_power):
        assert farm.rollout(farm.release("1.1.0")) == 1
    told = farm.last().devices["board-1"]
    assert told.state == "unknown" and "./inv fleet" in told.remedy
    assert farm.versions()["board-1"] == "1.1.0"
    status, found = fleet_json(capsys)
    assert status == fleets.UNASKED and not found["board-1"]["asked"] and found["board-2"]["asked"]
    board.start()
    assert fleets.fleet((), False, False) == 0
    assert "was on trial, and whoever tried it is gone: rolled back just now" in capsys.readouterr().out
    assert farm.versions() == dict.fromkeys(farm.names, "1.0.0")
    with untimed():
        assert farm.rollout(resume=True) == 0
    assert farm.versions() == dict.fromkeys(farm.names, "1.1.0")


def test_full_disk_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench(tmp_path, monkeypatch, 1) as made, untimed():
        text = (made.root / "farm.toml").read_text()
        root = made.farm["board-1"].double.root
        (made.root / "farm.toml").write_text(text.replace(f'root = "{root}"', f'root = "{small_disk}/root"'))
        assert made.rollout(made.release("1.0.0")) == 0
        filler = small_disk / "filler"
        with filler.open("wb") as stream, suppress(OSError):
            while True:
                stream.write(bytes(1 << 16))
        assert made.rollout(made.release("1.1.0", width=96)) == 1
        told = made.last().devices["board-1"]
        assert told.state == "failed" and "no room" in told.why and told.runs == "1.0.0"
        _, found = fleet_json(capsys, check=True)
        (model,) = found["board-1"]["models"]
        assert model["current"].startswith("1.0.0-") and model["releases"][0]["damaged"] == []
        filler.unlink()
        assert made.rollout(resume=True) == 0


HOST = """
import sys
from pathlib import Path
from pipeline.rollout.rollout import Asked, rollout
from pipeline.rollout.trials import Timed, Tryout

def wait(self, device, before):
    if device.entry.name == sys.argv[3]:
        print("on trial", flush=True)
        device.connection.run(["sleep", "600"], timeout=600.0)
    return Timed("not timed")

Tryout.latency = wait
sys.exit(rollout(Asked(release=sys.argv[1], devices=("board-1", "board-2"), trust=sys.argv[2], parallel=1)))
"""


def other_host(made: Bench, folder: Path, on: str) -> subprocess.Popen[str]:
    """A rollout in a process of its own, which waits in the middle of the trial on the device `on`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, str(folder), str(made.public), on],
        env=environment(made.state, EDGEWRIGHT_ROOT=str(made.root), PYTHONPATH=str(ROOT)),
        cwd=made.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    heard = []
    for text in process.stdout:
        heard.append(text)
        if "on trial" in text:
            return process
    raise AssertionError("".join(heard))


def test_killed_host_leaves_the_old_release_and_is_resumed(farm: Bench) -> None:
    folder = farm.release("1.1.0")
    process = other_host(farm, folder, "board-2")
    assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.1.0"}
    process.kill()
    process.communicate()
    wait_until(lambda: farm.versions()["board-2"] == "1.0.0", "the board goes back by itself")
    assert farm.last().status == "running" and farm.states() == {"board-1": "good", "board-2": "under way"}
    with untimed():
        assert farm.rollout(folder, resume=True) == 0
    assert farm.versions() == dict.fromkeys(farm.names, "1.1.0")
    assert farm.last().devices["board-1"].why == "it was there"
    assert len(list((farm.state / "rollouts").glob("*.json"))) == 2


def test_ctrl_c_rolls_the_device_under_way_back(farm: Bench) -> None:
    process = other_host(farm, farm.release("1.1.0"), "board-1")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130 and "Traceback" not in said, said
    assert "stopped: 0 of 2 devices run 1.1.0" in said and "--resume" in said
    assert farm.versions() == dict.fromkeys(farm.names, "1.0.0")
    assert farm.last().status == "stopped"
    assert farm.states() == {"board-1": "rolled back", "board-2": "untouched"}


def test_second_rollout_leaves_a_device_on_trial_alone(farm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    process = other_host(farm, farm.release("1.1.0"), "board-1")
    with untimed():
        assert farm.rollout(farm.release("1.2.0", layers=3), devices=["board-2", "board-1"]) == 2
    told = farm.last().devices["board-1"]
    assert told.state == "left out" and "busy with another rollout: rolling out tiny 1.1.0" in told.why
    assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.2.0"}
    process.kill()
    process.communicate()
