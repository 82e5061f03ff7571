"""Releases onto a farm of board doubles: good ones stay, others are rolled back, no fault leaves a board without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from device_agents.agent.trust import line
from device_agents.errors import DeviceBusy, UnknownDevice, WrongTarget
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import Inventory
from device_agents.farm.opening import open_any
from device_agents.farm.reserve import release, reserve
from device_agents.farm.rollout.errors import NoRolloutThere, NothingToResume
from device_agents.farm.rollout.told import ReleaseThere
from edgewright.errors import BadArgument
from pipeline import fleet as fleets
from pipeline import rolling
from pipeline.rollout import NotVerified
from pipeline.trials import Timed, Tryout
from tests.deploy.cli import ROOT, environment
from tests.deploy.rollouts import MODEL, Bench, bench, fleet_json
from tests.device_agents.farm.jobs import agents_of, wait_until
from tests.doubles.farm import Member
from tests.doubles.loopback import sshd_path
from tests.doubles.weather import Weather
from tests.prerequisites import require

pytestmark = [pytest.mark.slow, pytest.mark.device]

Fault = Callable[[], object]
SILENCE_S = 3.0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Two boards behind links that a test may break; both run 1.0.0."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    with (
        pytest.MonkeyPatch.context() as patch,
        bench(tmp_path_factory.mktemp("rollout"), patch, 2, faults=True) as made,
    ):
        with untimed():
            assert made.rollout(made.release("1.0.0")) == 0
        made.snapshot()
        yield made


@pytest.fixture
def farm(started: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The same for one test, which may do with it what it likes."""
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(started.state))
    monkeypatch.setattr(rolling, "SILENCE_S", SILENCE_S)
    yield started
    for member in started.farm:
        assert member.link is not None
        member.link.heal()
    started.restore()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    require(os.geteuid() == 0, "a small file system needs root (mount -t tmpfs)")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False)
    require(made.returncode == 0, "this machine doesn't let root mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def untimed(fault: Fault = lambda: None) -> Iterator[None]:
    """Trials whose release is not timed; `fault` comes in the middle of each."""

    def latency(self: Tryout, device: Device, before: ReleaseThere | None) -> Timed:
        fault()
        return Timed("not timed in this test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tryout, "latency", latency)
        yield


def trials_of(member: Member) -> list[int]:
    """The processes that hold a release on trial on a board."""
    found = []
    for pid in agents_of(str(member.double.root)):
        with suppress(OSError):
            if b"\0trial\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def assert_rolled_back(made: Bench, name: str, why: str) -> None:
    """One board has the old release again, and the record says so; boards after it were not touched."""
    told = made.last().devices[name]
    assert (told.state, told.runs) == ("rolled back", "1.0.0") and why in told.why, told
    assert made.versions() == dict.fromkeys(made.names, "1.0.0")
    assert made.last().status == "halted"


def test_rollout_to_four_devices_of_which_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The canary is fine, the one that fails is rolled back, later ones are untouched; and the fleet shows it."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    with bench(tmp_path, monkeypatch, 4, weather=Weather(ms_per_mb=1.0)) as made:
        assert made.rollout(made.release("1.0.0"), parallel=4) == 0
        # On this board a larger model is much slower, and on no other.
        made.farm["board-2"].board.change(ms_per_mb=20_000.0)
        capsys.readouterr()
        status = made.rollout(made.release("1.1.0", layers=3), canary="board-3", waves="1,2,100%", slower=0.3)
        said = capsys.readouterr().out
        assert status == 1
        assert made.last().waves == [["board-3"], ["board-1"], ["board-2", "board-4"]]
        assert made.states() == {
            "board-1": "good", "board-2": "rolled back", "board-3": "good", "board-4": "untouched",
        }  # fmt: skip
        assert made.versions() == {"board-1": "1.1.0", "board-2": "1.0.0", "board-3": "1.1.0", "board-4": "1.0.0"}
        told = made.last().devices["board-2"]
        assert "too slow on board-2" in told.why and told.runs == "1.0.0" and told.report is not None
        assert "halted: 2 of 4 devices run 1.1.0" in said and "untouched    board-4" in said
        status, found = fleet_json(capsys, check=True)
        assert status == 0
        running = {name: one["models"][0]["current"].rpartition("-")[0] for name, one in found.items()}
        assert running == made.versions()
        assert found["board-2"]["models"][0]["failed"]["version"] == "1.1.0"
        assert all(release["damaged"] == [] for one in found.values() for release in one["models"][0]["releases"])
        # Mended, it goes on where it stopped: what has the release already is only asked.
        made.farm["board-2"].board.change(ms_per_mb=1.0)
        assert made.rollout(resume=True, slower=0.3) == 0
        assert set(made.versions().values()) == {"1.1.0"} and set(made.versions("previous").values()) == {"1.0.0"}
        with pytest.raises(NothingToResume):
            made.rollout(resume=True)


def test_release_that_answers_otherwise_is_rolled_back(farm: Bench) -> None:
    assert farm.rollout(farm.release("1.1.0", wrong=0.5)) == 1
    assert_rolled_back(farm, "board-1", "answers the sample otherwise: off by 0.5")
    assert farm.states()["board-2"] == "untouched"


def test_release_that_does_not_load_is_rolled_back(farm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = farm.release("1.1.0")
    with monkeypatch.context() as patch:
        patch.setattr(Tryout, "answers", _fails)
        assert farm.rollout(folder) == 1
    assert_rolled_back(farm, "board-1", "the runtime crashed")


def _fails(self: Tryout, device: Device) -> str:
    from device_agents.farm.ask import NoAnswer

    raise NoAnswer("the runtime crashed")


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


def test_first_release_that_fails_leaves_no_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bench(tmp_path, monkeypatch, 1) as made:
        assert made.rollout(made.release("1.0.0", wrong=0.5)) == 1
        assert made.versions() == {"board-1": None}
        told = made.last().devices["board-1"]
        assert (told.state, told.runs) == ("rolled back", None)


def test_three_releases_leave_current_and_previous(farm: Bench) -> None:
    with untimed():
        for version in ("1.1.0", "1.2.0"):
            assert farm.rollout(farm.release(version, layers=int(version[2]) + 2)) == 0
    folder = farm.farm["board-1"].double.root / "releases" / MODEL
    assert sorted(path.name.rpartition("-")[0] for path in folder.iterdir() if path.name[0].isdigit()) == [
        "1.1.0", "1.2.0",
    ]  # fmt: skip
    assert farm.versions("previous") == dict.fromkeys(farm.names, "1.1.0")
    assert (folder / "current" / "labels.txt").read_text() == "a\nb\nc\nd\n"
    assert not (folder / "current" / "model_card.md").exists()


def test_nothing_is_sent_twice(farm: Bench) -> None:
    folder = farm.release("1.1.0", wrong=0.5)
    assert farm.rollout(folder) == 1
    assert (farm.last().devices["board-1"].sent_bytes or 0) > 4000
    with untimed():
        good = farm.release("1.2.0")  # the same model as 1.0.0
        assert farm.rollout(good) == 0
        sent = farm.last().devices["board-1"].sent_bytes
        assert sent is not None and 0 < sent < sum(path.stat().st_size for path in good.rglob("*") if path.is_file())
        before = farm.farm["board-1"].link.sent  # type: ignore[union-attr]
        assert farm.rollout(good) == 0
    told = farm.last().devices["board-1"]
    assert told.why == "it was there" and told.sent_bytes is None
    assert farm.farm["board-1"].link.sent > before  # type: ignore[union-attr]


def test_damaged_release_is_mended_in_place(farm: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    folder = farm.root / "releases" / f"{MODEL}-board-1.0.0"
    labels = farm.farm["board-2"].double.root / "releases" / MODEL / "current" / "labels.txt"
    labels.write_text("another\n")
    _, found = fleet_json(capsys, check=True)
    assert [one["damaged"] for one in found["board-2"]["models"][0]["releases"]] == [["labels.txt"]]
    assert fleets.fleet((), True, False) == 0
    assert "1.0.0 is damaged: labels.txt" in capsys.readouterr().out
    with untimed():
        assert farm.rollout(folder) == 0
    assert farm.last().devices["board-2"].why == "it was there, damaged, and was mended: labels.txt"
    assert labels.read_text() == "a\nb\nc\nd\n"


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
from pipeline.rollout import Asked, rollout
from pipeline.trials import Timed, Tryout

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


def test_devices_that_cannot_be_asked_are_gone_around(
    farm: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board, link = farm.farm["board-2"], farm.farm["board-2"].link
    assert link is not None
    with open_any(board.entry, state=farm.state) as device, monkeypatch.context() as patch:
        patch.setattr("device_agents.farm.reservation.user_name", lambda: "bob")
        reserve(device, 3600)
    folder = farm.release("1.1.0")
    with untimed():
        assert farm.rollout(folder) == 2
        assert farm.states() == {"board-1": "good", "board-2": "left out"}
        assert "is reserved: bob" in farm.last().devices["board-2"].why
        with open_any(board.entry, state=farm.state) as device:
            release(device, anyway=True)
        link.refuse()
        assert farm.rollout(resume=True) == 2
        assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.0.0"}
        link.heal()
        assert farm.rollout(resume=True) == 0
        # A canary that can't be asked tells nothing of the release.
        link.refuse()
        assert farm.rollout(farm.release("1.2.0"), canary="board-2") == 1
        assert farm.states() == {"board-1": "untouched", "board-2": "left out"}
        link.heal()


def test_devices_that_trust_a_key_take_only_what_it_signed(farm: Bench) -> None:
    with open_device(farm.farm["board-1"].entry, state=farm.state) as device:
        device.trust.add(line((farm.key.public, "ours")))
    with open_device(farm.farm["board-2"].entry, state=farm.state) as device:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        device.trust.add(line((Ed25519PrivateKey.generate().public_key().public_bytes_raw(), "another's")))
    with untimed():
        assert farm.rollout(farm.release("1.1.0", layers=3)) == 1
    assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.0.0"}
    told = farm.last().devices["board-2"]
    assert told.state == "failed" and "trust" in told.why
    assert (farm.farm["board-1"].double.root / "releases" / MODEL / "current" / "model" / "bundle.sig").is_file()


def test_model_file_that_a_packager_added_to_is_what_devices_run(farm: Bench) -> None:
    """The device loads the very file that an app gets, under a manifest and a signature of its own."""
    with open_device(farm.farm["board-1"].entry, state=farm.state) as device:
        device.trust.add(line((farm.key.public, "ours")))
    folder = farm.release("1.1.0", layers=3, packaged=True)
    with untimed():
        assert farm.rollout(folder) == 0
    there = farm.farm["board-1"].double.root / "releases" / MODEL / "current" / "model"
    assert (there / "model.onnx").read_bytes() == (folder / "model" / "model.onnx").read_bytes()
    assert (there / "bundle.json").read_bytes() == (folder / "model" / "bundle.json").read_bytes()
    assert (there / "manifest.json").read_bytes() != (there / "bundle.json").read_bytes()
    assert (there / "bundle.sig").read_bytes() != (folder / "bundle.sig").read_bytes()


def test_release_that_was_tampered_with_goes_nowhere(farm: Bench) -> None:
    folder = farm.release("1.1.0")
    model = folder / "model" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    with pytest.raises(NotVerified, match=r"model/model\.onnx"):
        farm.rollout(folder)
    assert len(list((farm.state / "rollouts").glob("*.json"))) == 1


def test_what_is_asked_wrongly_is_refused_before_anything_is_begun(farm: Bench, tmp_path: Path) -> None:
    folder = farm.release("1.1.0")
    (farm.root / "farm.toml").write_text(
        (farm.root / "farm.toml").read_text()
        + '[devices.phone]\ntarget = "board"\nkind = "adb"\n[devices.other]\ntarget = "jetson"\nkind = "local"\n'
    )
    for asked, error in (
        ({"devices": ["nobody"]}, UnknownDevice),
        ({"devices": ["phone"]}, NoRolloutThere),
        ({"devices": ["other"]}, WrongTarget),
        ({"devices": []}, BadArgument),
        ({"waves": "many"}, BadArgument),
        ({"canary": "phone"}, BadArgument),
    ):
        with pytest.raises(error):
            farm.rollout(folder, **asked)
    with pytest.raises(BadArgument, match="No release"):
        farm.rollout(None)
    assert len(list((farm.state / "rollouts").glob("*.json"))) == 1
    assert Inventory.read(farm.root / "farm.toml").entries["phone"].kind == "adb"


def test_devices_of_one_wave_are_rolled_out_side_by_side(farm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(2, timeout=60)
    names: list[str] = []

    def latency(self: Tryout, device: Device, before: ReleaseThere | None) -> Timed:
        names.append(device.entry.name)
        if len(names) > 1:
            meeting.wait()
        return Timed("not timed")

    with bench(farm.root.parent / "more", monkeypatch, 3) as made, monkeypatch.context() as patch:
        patch.setattr(Tryout, "latency", latency)
        assert made.rollout(made.release("1.0.0"), parallel=2) == 0
    assert names[0] == "board-1" and set(names[1:]) == {"board-2", "board-3"}
