"""The tasks around releases as a person types them: what they print and write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.errors import BadArgument
from pipeline.project import Project
from pipeline.release import commands
from pipeline.release.errors import BadVersion
from pipeline.release.keys import KeyMissing
from tests.pipeline.release import accepted


@pytest.fixture
def project(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with an accepted bundle, and a key."""
    made = accepted.project(tmp_path / "project", state)
    accepted.accept(made, accepted.bundle(tmp_path))
    accepted.key(tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(made.root))
    monkeypatch.setenv("EDGEWRIGHT_KEY", str(tmp_path / "release.key"))
    monkeypatch.chdir(made.root)
    return made


def release(version: str, **given: object) -> None:
    accepted.needed()
    asked = {"model": None, "target": accepted.TARGET, "out": None, "key": None, "allow_unmeasured": False} | given
    commands.release(version=version, json_file="told.json", **asked)  # type: ignore[arg-type]


def test_release_says_what_it_made_and_where(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    release("1.0.0")
    out = capsys.readouterr().out
    assert out.startswith("tiny > raspberry-pi     1.0.0\n  model      model/model.onnx, tiny, ")
    assert "  release    releases/tiny-raspberry-pi-1.0.0\n" in out and "(a draft, for you to finish)" in out
    told = json.loads(Path("told.json").read_text())
    assert told["new"] and told["manifest"]["version"] == "1.0.0"
    release("1.0.0")
    assert capsys.readouterr().out.startswith("tiny > raspberry-pi     1.0.0, there already, and equal\n")
    assert not json.loads(Path("told.json").read_text())["new"]


def test_key_is_opened_before_any_work(project: Project, tmp_path: Path) -> None:
    with pytest.raises(KeyMissing):
        release("no version", key=str(tmp_path / "none.key"))
    with pytest.raises(BadVersion):
        release("no version")


def test_unmeasured_release_says_so(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted.accept(project, accepted.bundle(tmp_path, "deeper", layers=3), ())
    release("1.0.0", allow_unmeasured=True)
    assert "NOT MEASURED on a real device" in capsys.readouterr().out


def test_diff_and_prune_print_what_they_find(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release("1.0.0")
    accepted.accept(project, accepted.bundle(tmp_path, "deeper", layers=3))
    release("1.1.0")
    capsys.readouterr()
    found = commands.diff("releases/tiny-raspberry-pi-1.0.0", "releases/tiny-raspberry-pi-1.1.0", "told.json")
    assert capsys.readouterr().out.startswith("tiny-raspberry-pi 1.0.0  >  tiny-raspberry-pi 1.1.0\n")
    assert found.breaks == "" and json.loads(Path("told.json").read_text())["demanded"] == "minor or patch"
    commands.prune(None, 1, False, "told.json")
    assert "would go   tiny-raspberry-pi-1.0.0" in capsys.readouterr().out
    commands.prune(None, 1, True, None)
    assert sorted(path.name for path in Path("releases").glob("tiny*")) == ["tiny-raspberry-pi-1.1.0"]


def test_home_of_nobody_is_a_plain_error(project: Project) -> None:
    nobodys = "~nobody-of-that-name/a"
    for asked in (
        lambda: commands.diff(nobodys, "b", None),
        lambda: commands.prune(nobodys, 1, False, None),
        lambda: release("1.0.0", key=nobodys),
        lambda: release("1.0.0", out=nobodys),
    ):
        with pytest.raises(BadArgument, match="no home of that name"):
            asked()
    assert not Path("~nobody-of-that-name").exists()
