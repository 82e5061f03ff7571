"""The switch between releases: one step after another, and killed before every one of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from device_agents.agent import current, releases
from device_agents.agent.stage import stage
from tests.device_agents.agent.released import MODEL, STAMP, assert_usable, killed_at, leftovers, links, send


def staged(root: Path, version: str) -> str:
    """A release as it lies there before the switch; its folder's name."""
    found = stage(str(root), MODEL, send(root, version), STAMP)
    assert found["missing"] == []
    return str(found["name"])


def folder(root: Path) -> str:
    return str(root / "releases" / MODEL)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in Path(folder(root)).iterdir())


def good(root: Path, version: str) -> None:
    """A release that was switched to and found good."""
    current.switch(folder(root), staged(root, version), STAMP)
    current.keep(folder(root))
    current.prune(folder(root))


def state(root: Path, link: str = "current") -> object:
    return releases.state_of(folder(root), link)["state"]


def test_switch_puts_a_release_on_trial_and_keep_makes_the_old_one_previous(tmp_path: Path) -> None:
    good(tmp_path, "1.0.0")
    assert links(tmp_path) == ("1.0.0", None) and state(tmp_path) == "good"
    name = staged(tmp_path, "1.1.0")
    assert links(tmp_path) == ("1.0.0", None)
    before = current.switch(folder(tmp_path), name, STAMP)
    assert before is not None and before.startswith("1.0.0-")
    assert links(tmp_path) == ("1.1.0", None) and state(tmp_path) == "trial"
    current.keep(folder(tmp_path))
    assert links(tmp_path) == ("1.1.0", "1.0.0") and state(tmp_path) == "good"
    told = releases.state_of(folder(tmp_path), "current")
    assert (told["who"], told["host"], told["when"]) == ("ada", "bench", "2026-11-26T14:00:00Z")


def test_back_restores_the_release_before_and_says_why(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        good(tmp_path, version)
    name = staged(tmp_path, "1.2.0")
    current.switch(folder(tmp_path), name, STAMP)
    assert str(current.back(folder(tmp_path), "wrong answers", STAMP)).startswith("1.1.0-")
    assert links(tmp_path) == ("1.1.0", "1.0.0") and state(tmp_path) == "good"
    assert not (Path(folder(tmp_path)) / name).exists() and not leftovers(tmp_path)
    failed = json.loads((Path(folder(tmp_path)) / releases.FAILED).read_text())
    assert (failed["version"], failed["why"], failed["who"]) == ("1.2.0", "wrong answers", "ada")
    good(tmp_path, "1.2.1")
    assert not (Path(folder(tmp_path)) / releases.FAILED).exists()


def test_back_from_the_first_release_leaves_no_current(tmp_path: Path) -> None:
    current.switch(folder(tmp_path), staged(tmp_path, "1.0.0"), STAMP)
    assert current.back(folder(tmp_path), "slow", STAMP) is None
    assert links(tmp_path) == (None, None)
    assert names(tmp_path) == [releases.FAILED]


def test_back_finds_the_release_before_also_without_the_link_that_was_laid_down(tmp_path: Path) -> None:
    good(tmp_path, "1.0.0")
    current.switch(folder(tmp_path), staged(tmp_path, "1.1.0"), STAMP)
    (Path(folder(tmp_path)) / ".back").unlink()
    current.back(folder(tmp_path), "slow", STAMP)
    assert links(tmp_path) == ("1.0.0", None)


@pytest.mark.parametrize("first", [True, False], ids=["first install", "update"])
def test_release_on_trial_whose_state_was_lost_is_rolled_back(tmp_path: Path, first: bool) -> None:
    if not first:
        good(tmp_path, "1.0.0")
    name = staged(tmp_path, "1.1.0")
    current.switch(folder(tmp_path), name, STAMP)
    (Path(folder(tmp_path)) / name / releases.STATE).write_text("")
    (Path(folder(tmp_path)) / ".back").unlink(missing_ok=True)
    assert current.settle(folder(tmp_path), STAMP) == name
    assert links(tmp_path) == (None if first else "1.0.0", None) and not leftovers(tmp_path)


def test_prune_keeps_current_and_previous(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        good(tmp_path, version)
    there = [name for name in names(tmp_path) if name[0].isdigit()]
    assert [name.rpartition("-")[0] for name in there] == ["1.1.0", "1.2.0"]


def test_previous_release_may_be_rolled_out_again(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        good(tmp_path, version)
    current.switch(folder(tmp_path), staged(tmp_path, "1.0.0"), STAMP)
    current.keep(folder(tmp_path))
    assert links(tmp_path) == ("1.0.0", "1.1.0")
    current.switch(folder(tmp_path), staged(tmp_path, "1.1.0"), STAMP)
    current.back(folder(tmp_path), "it fails now", STAMP)
    assert links(tmp_path) == ("1.0.0", None) and not leftovers(tmp_path)


def _settled_on(root: Path, *versions: str | None) -> None:
    """Whoever looks next finds one of these current and good, and nothing of the attempt."""
    current.settle(folder(root), STAMP)
    assert links(root)[0] in versions and not leftovers(root)
    if links(root)[0] is not None:
        assert state(root) == "good"
    for name in names(root):
        assert releases.state_of(folder(root), name).get("state") != "trial", name


@pytest.mark.parametrize("first", [True, False], ids=["first install", "update"])
def test_kill_before_any_step_of_the_switch_leaves_a_whole_release(tmp_path: Path, first: bool) -> None:
    steps = 0
    while True:
        root = tmp_path / str(steps)
        if not first:
            good(root, "1.0.0")
        name = staged(root, "1.1.0")
        killed = killed_at(steps, partial(current.switch, folder(root), name, STAMP))
        assert_usable(root, first)
        if not killed:
            break
        assert links(root)[0] in (("1.1.0", None) if first else ("1.0.0", "1.1.0"))
        _settled_on(root, None if first else "1.0.0")
        assert_usable(root, first)
        good(root, "1.1.0")
        assert links(root) == ("1.1.0", None if first else "1.0.0")
        shutil.rmtree(root)
        steps += 1
    assert steps > 10


@pytest.mark.parametrize("first", [True, False], ids=["first install", "update"])
def test_kill_before_any_step_of_keeping_leaves_the_old_or_the_new_release(tmp_path: Path, first: bool) -> None:
    steps = 0
    while True:
        root = tmp_path / str(steps)
        for version in () if first else ("0.9.0", "1.0.0"):
            good(root, version)
        current.switch(folder(root), staged(root, "1.1.0"), STAMP)

        def finish(root: Path = root) -> None:
            current.keep(folder(root))
            current.prune(folder(root))

        killed = killed_at(steps, finish)
        assert_usable(root, first)
        if not killed:
            break
        _settled_on(root, "1.1.0", None if first else "1.0.0")
        if links(root)[0] == "1.1.0" and not first:
            assert links(root)[1] == "1.0.0"
        shutil.rmtree(root)
        steps += 1
    assert links(root) == ("1.1.0", None if first else "1.0.0") and steps > 3


@pytest.mark.parametrize("first", [True, False], ids=["first install", "update"])
def test_kill_before_any_step_of_the_way_back_leaves_the_old_release(tmp_path: Path, first: bool) -> None:
    steps = 0
    while True:
        root = tmp_path / str(steps)
        if not first:
            good(root, "1.0.0")
        current.switch(folder(root), staged(root, "1.1.0"), STAMP)
        killed = killed_at(steps, partial(current.back, folder(root), "slow", STAMP))
        assert_usable(root, first)
        if not killed:
            break
        _settled_on(root, None if first else "1.0.0")
        shutil.rmtree(root)
        steps += 1
    assert links(root) == (None if first else "1.0.0", None) and steps > 10


def test_kill_while_settling_is_settled_by_the_next_one(tmp_path: Path) -> None:
    steps = 0
    while True:
        root = tmp_path / str(steps)
        good(root, "1.0.0")
        current.switch(folder(root), staged(root, "1.1.0"), STAMP)
        killed = killed_at(steps, partial(current.settle, folder(root), STAMP))
        assert_usable(root, first=False)
        if not killed:
            break
        _settled_on(root, "1.0.0")
        shutil.rmtree(root)
        steps += 1
    assert steps > 10


def test_full_disk_before_the_switch_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(tmp_path, "1.0.0")
    name = staged(tmp_path, "1.1.0")

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", full)
        with pytest.raises(OSError, match="No space left"):
            current.switch(folder(tmp_path), name, STAMP)
    assert links(tmp_path) == ("1.0.0", None)
    _settled_on(tmp_path, "1.0.0")


def test_neither_end_of_a_trial_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is full from the switch on: nothing new can be written or linked."""

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    ends: tuple[Callable[[str], object], ...] = (current.keep, lambda there: current.back(there, "slow", STAMP))
    for number, end in enumerate(ends):
        root = tmp_path / str(number)
        good(root, "1.0.0")
        current.switch(folder(root), staged(root, "1.1.0"), STAMP)
        with monkeypatch.context() as patch:
            for name in ("symlink", "link", "mkdir"):
                patch.setattr(os, name, full)
            patch.setattr(current, "write", full)
            end(folder(root))
        assert links(root) == (("1.0.0", None), ("1.1.0", "1.0.0"))[number == 0]
        assert state(root) == "good"
