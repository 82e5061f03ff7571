"""Releases onto a farm of board doubles: good ones stay, others are rolled back, and the fleet says what runs where."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from device_agents.agent.trust import line
from device_agents.errors import UnknownDevice, WrongTarget
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import Inventory
from device_agents.farm.opening import open_any
from device_agents.farm.reserve import release, reserve
from device_agents.farm.rollout.errors import NoRolloutThere, NothingToResume
from device_agents.farm.rollout.told import ReleaseThere
from edgewright.errors import BadArgument
from pipeline.rollout import fleet as fleets
from pipeline.rollout.rollout import NotVerified
from pipeline.rollout.trials import Timed, Tryout
from tests.deploy.rollouts import MODEL, Bench, assert_rolled_back, bench, fleet_json, untimed
from tests.doubles.loopback import sshd_path
from tests.doubles.weather import Weather
from tests.prerequisites import require

pytestmark = [pytest.mark.slow, pytest.mark.device]


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
        # Mended, it goes on where it stopped, and as it was told: what has the release already is only asked.
        made.farm["board-2"].board.change(ms_per_mb=1.0)
        assert made.rollout(resume=True) == 0
        assert made.last().slower == 0.3
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
