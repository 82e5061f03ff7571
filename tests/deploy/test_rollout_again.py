"""A release rolled out once more: to devices that have it damaged, or came to trust keys after it; and resumed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.agent.trust import line
from device_agents.farm.device import open_device
from device_agents.farm.rollout import shipment
from device_agents.farm.rollout.errors import RolloutUnderWay
from edgewright.errors import BadArgument
from pipeline.rollout import rolling
from pipeline.rollout.rollout import STATUSES, Asked, rollout
from tests.deploy.rollouts import MODEL, Bench, fleet_json, untimed
from tests.deploy.test_rollout_faults import other_host

pytestmark = [pytest.mark.slow, pytest.mark.device]


def first(farm: Bench) -> Path:
    return farm.root / "releases" / "tiny-board-1.0.0"


def there(farm: Bench, name: str) -> Path:
    """The current release on a board."""
    return farm.farm[name].double.root / "releases" / MODEL / "current"


def trust(farm: Bench, name: str) -> None:
    with open_device(farm.farm[name].entry, state=farm.state) as device:
        device.trust.add(line((farm.key.public, "ours")))


def test_device_that_came_to_trust_keys_later_is_sent_the_signatures(farm: Bench) -> None:
    """It took the release when it wanted none; now it would not load it."""
    for name in farm.names:
        trust(farm, name)
        assert not (there(farm, name) / "model" / "bundle.sig").exists()
    assert farm.rollout(first(farm)) == 0
    assert all((there(farm, name) / "model" / "bundle.sig").is_file() for name in farm.names)
    assert {one.why for one in farm.last().devices.values()} == {"it was there"}


def test_release_before_may_be_rolled_out_again_on_a_device_that_came_to_trust_keys(farm: Bench) -> None:
    with untimed():
        assert farm.rollout(farm.release("1.1.0", layers=3)) == 0
        trust(farm, "board-1")
        assert farm.rollout(first(farm)) == 0
    assert farm.versions() == dict.fromkeys(farm.names, "1.0.0")
    assert farm.versions("previous") == dict.fromkeys(farm.names, "1.1.0")


@pytest.mark.parametrize("file", ["state.json", "model/manifest.json", "model/model.onnx", "SHA256SUMS"])
def test_current_release_that_is_damaged_is_mended(farm: Bench, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = there(farm, "board-1") / file
    damaged.unlink()  # else the copy on the shelf, which is the same file, would be damaged too
    damaged.write_bytes(b"damaged")
    assert fleet_json(capsys, check=True)[1]["board-1"]["models"][0]["releases"][0]["damaged"]
    assert farm.rollout(first(farm)) == 0
    assert "mended" in farm.last().devices["board-1"].why
    for one in fleet_json(capsys, check=True)[1].values():
        (release,) = one["models"][0]["releases"]
        assert (release["state"], release["version"], release["damaged"]) == ("good", "1.0.0", [])


def test_release_that_is_damaged_gives_way_to_a_new_one(farm: Bench) -> None:
    model = there(farm, "board-1") / "model" / "model.onnx"
    model.write_bytes(b"damaged")
    assert farm.rollout(farm.release("1.1.0", layers=3), devices=["board-1"]) == 0
    said = farm.last().devices["board-1"].latency
    assert said.startswith("not judged: the release before can't be run any more: "), said
    assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.0.0"}


def halted(farm: Bench) -> Path:
    """A rollout of 1.1.0 that left a board out; the release."""
    folder, link = farm.release("1.1.0", layers=3), farm.farm["board-2"].link
    assert link is not None
    link.refuse()
    with untimed():
        assert farm.rollout(folder) == STATUSES["incomplete"]
    link.heal()
    return folder


def test_resumed_rollout_finds_its_release_where_it_was_moved_to(farm: Bench) -> None:
    folder = halted(farm)
    moved = folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(BadArgument, match="no longer where it was") as caught:
        farm.rollout(resume=True)
    assert "--resume --release" in caught.value.remedy
    with untimed():
        assert farm.rollout(moved, resume=True) == 0
    assert farm.last().release.path == str(moved) and len(list((farm.state / "rollouts").glob("*.json"))) == 2


def test_resumed_rollout_takes_no_other_devices(farm: Bench) -> None:
    """Else a person who names one board gets the release onto all of them."""
    folder = halted(farm)
    before = farm.last()
    for asked in ({"devices": ["board-2"]}, {"canary": "board-2"}, {"waves": "2"}):
        with pytest.raises(BadArgument, match="has its devices and waves already"):
            rollout(Asked(release=str(folder), resume=True, trust=str(farm.public), **asked))
    assert farm.last() == before


def test_rollout_that_is_still_under_way_is_not_resumed(farm: Bench) -> None:
    folder = farm.release("1.1.0")
    process = other_host(farm, folder, "board-1")
    before = farm.last()
    with pytest.raises(RolloutUnderWay, match="still under way"):
        farm.rollout(folder, resume=True)
    assert farm.last() == before and farm.versions()["board-1"] == "1.1.0"
    process.kill()
    process.communicate()


@pytest.mark.parametrize("other", ["1.1.0", "1.2.0"])
def test_rollout_that_another_one_came_between_ends_well(
    farm: Bench, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Between sending and switching: the other has left the same release, or another and taken the one sent away."""
    folder, between = farm.release("1.1.0", layers=3), [farm.release(other, layers=3)]

    def send(*given: Any) -> int:
        sent = shipment.send(*given)
        if between:
            assert farm.rollout(between.pop(), devices=["board-1"]) == 0
        return sent

    monkeypatch.setattr(rolling, "send", send)
    with untimed():
        assert farm.rollout(folder, devices=["board-1"]) == 0
    assert farm.versions()["board-1"] == "1.1.0"
    assert farm.versions("previous")["board-1"] == {"1.1.0": "1.0.0", "1.2.0": "1.2.0"}[other]


@pytest.mark.parametrize("file", ["SHA256SUMS", "labels.txt", "model/model.onnx"])
def test_release_that_is_changed_while_it_is_rolled_out_halts(farm: Bench, file: str) -> None:
    """The canary has the one that was checked; nobody gets another."""
    folder = farm.release("1.1.0", layers=3)
    with untimed(lambda: (folder / file).unlink()):
        assert farm.rollout(folder) == 1
    assert farm.versions() == {"board-1": "1.1.0", "board-2": "1.0.0"}
    told = farm.last().devices["board-2"]
    assert told.state == "failed" and "changed while it was rolled out" in told.why and "--resume" in told.remedy
