"""What a night is asked: every recipe for every target that has a device, or what was named; and until when."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from device_agents.farm.inventory import DeviceEntry
from edgewright.errors import BadArgument, EdgewrightError
from pipeline.nightly.asked import NothingToDo, is_here, read_asked, read_deadline, words
from pipeline.project import Project
from tests.pipeline.nightly.farm import FARM

NOW = datetime(2026, 11, 26, 22, 0, tzinfo=timezone.utc)


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    (tmp_path / "farm.toml").write_text(FARM)
    return dataclasses.replace(Project.here(), root=tmp_path, state=state)


def test_every_recipe_for_every_target_with_a_device(project: Project) -> None:
    asked = read_asked(project, (), ())
    assert {"resnet8", "digits"} <= set(asked.models)
    assert set(asked.targets) == {"raspberry-pi", "linux-x86_64"}
    assert [entry.name for entry in asked.entries] == ["pi1", "pi2", "box"]


def test_named_targets_narrow_the_farm(project: Project) -> None:
    asked = read_asked(project, ["digits"], ["raspberry-pi"])
    assert list(asked.models) == ["digits"]
    assert [entry.name for entry in asked.entries] == ["pi1", "pi2"]
    assert asked.entry("pi2").address == "pi2.example"


def test_named_target_without_a_device_is_stood_in_for(project: Project) -> None:
    (entry,) = read_asked(project, ["digits"], ["jetson"]).entries
    assert entry.stand_in and entry.kind == "local"


def test_this_machine_standing_in_twice_is_told_apart_but_keeps_its_own_name(project: Project) -> None:
    entries = read_asked(project, ["digits"], ["host", "jetson"]).entries
    assert [(entry.name, entry.stand_in) for entry in entries] == [
        ("this machine", False), ("this machine (jetson)", True),
    ]  # fmt: skip


def test_files_are_known_by_their_whole_path(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('factory = "models.architectures.resnet:resnet8"\ndata = "digits"\n')
    (tmp_path / "board.toml").write_text('description = "x"\n')
    monkeypatch.chdir(tmp_path)
    asked = read_asked(project, ["mine.toml"], ["board.toml"])
    assert asked.models == {"mine": str(tmp_path / "mine.toml")}
    assert asked.called == {"board": str(tmp_path / "board.toml")}


def test_two_recipes_of_one_name_are_refused(project: Project, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.toml").write_text('factory = "models.architectures.resnet:resnet8"\ndata = "digits"\n')
    with pytest.raises(BadArgument):
        read_asked(project, [str(tmp_path / folder / "m.toml") for folder in ("a", "b")], ())


def test_farm_without_devices_says_what_to_do(project: Project) -> None:
    project.farm_file.write_text("")
    with pytest.raises(NothingToDo, match="no device") as raised:
        read_asked(project, (), ())
    assert "--targets host" in raised.value.remedy


@pytest.mark.parametrize(("models", "targets"), [(["nothing"], []), ([], ["nothing"])])
def test_names_that_mean_nothing_are_refused_before_anything_runs(
    project: Project, models: list[str], targets: list[str]
) -> None:
    with pytest.raises(EdgewrightError):
        read_asked(project, models, targets)


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("me@localhost", True),
     ("10.0.0.7", False), ("pi.local", False)],
)  # fmt: skip
def test_doubles_on_this_machine_are_here(address: str, here: bool) -> None:
    assert is_here(DeviceEntry(name="d", target="t", address=address)) is here


def test_deadline_is_a_time_of_day_or_how_long() -> None:
    assert read_deadline("", NOW) is None
    assert read_deadline("6h", NOW) == NOW + timedelta(hours=6)
    assert read_deadline("90m", NOW) == NOW + timedelta(minutes=90)
    local = NOW.astimezone()
    for minutes in (-1, 0, 1):
        text = (local + timedelta(minutes=minutes)).strftime("%H:%M")
        found = read_deadline(text, NOW)
        assert found is not None and NOW < found <= NOW + timedelta(days=1)
        assert found.astimezone(local.tzinfo).strftime("%H:%M") == text


@pytest.mark.parametrize("text", ["25:00", "6:99", "soon", "-1h", "0"])
def test_what_is_no_deadline_is_refused(text: str) -> None:
    with pytest.raises(BadArgument):
        read_deadline(text, NOW)


def test_words_are_separated_by_commas() -> None:
    assert words(" a, b ,,c") == ["a", "b", "c"]
    assert words("") == []
