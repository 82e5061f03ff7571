"""`farm.demo`: what counts as caught, and the nights that it runs; tests/deploy/test_demo.py runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.night.record import DeviceNight, Night
from edgewright.errors import BadArgument
from pipeline import demo
from pipeline.demo import MOST_PLANTED, PLANTED, STEADY, NoDemo, problems, run_nights, typed_in, uncaught, write_model
from pipeline.plan import make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe
from targets.schema import read_target
from tests.doubles.farm import TARGET, write_target


def _verdict(model: str, device: str, metric: str = "latency", blamed: str = "model") -> dict[str, Any]:
    """A regression."""
    key = {"model": model, "variant": "trained", "target": "board", "device": device}
    return {
        "key": key | {"runtime": "onnxruntime", "precision": "float32"},
        "metric": metric,
        "verdict": "slower",
        "worse": True,
        "reason": "30.0 % slower",
        "changes": [{"causes": [{"what": blamed, "how": ""}]}],
    }


def _night(*regressions: dict[str, Any], number: int = 0, status: int | None = None) -> Night:
    """A finished night of two devices, with these regressions behind a verdict that is none."""
    return Night.model_validate(
        {
            "id": f"20261126T02000{number}Z",
            "started": "2026-11-26T02:00:00Z",
            "finished": "2026-11-26T02:01:00Z",
            "status": (1 if regressions else 0) if status is None else status,
            "devices": [DeviceNight(name=name, target="board") for name in ("board-1", "board-2")],
            "verdicts": [_verdict("other", "board-1") | {"worse": False, "verdict": "same"}, *regressions],
            "regressions": list(range(1, len(regressions) + 1)),
        }
    )


CAUGHT = (_verdict(PLANTED, "board-1"), _verdict(PLANTED, "board-2"), _verdict(PLANTED, "board-1", "size"))


def test_plant_on_every_device_and_nothing_else_is_what_was_asked() -> None:
    assert problems([_night(), _night(), _night(*CAUGHT)], quiet=2) == []


def test_alarm_in_a_quiet_night_is_a_problem() -> None:
    (said,) = problems([_night(_verdict(PLANTED, "board-1")), _night(*CAUGHT)], quiet=1)
    assert "night 1" in said


def test_alarm_about_the_other_model_is_a_problem() -> None:
    (said,) = problems([_night(), _night(*CAUGHT, _verdict(STEADY, "board-2", "load_time"))], quiet=1)
    assert STEADY in said and "load_time" in said


def test_plant_that_is_blamed_on_the_device_is_a_problem() -> None:
    (said,) = problems([_night(), _night(*CAUGHT, _verdict(PLANTED, "board-1", "memory", "device"))], quiet=1)
    assert said.startswith("blamed on device")


def test_plant_that_one_device_did_not_show_is_a_problem() -> None:
    night = _night(_verdict(PLANTED, "board-1"), _verdict(PLANTED, "board-2", "size"))
    assert uncaught(night) == ["board-2"]
    (said,) = problems([_night(), night], quiet=1)
    assert "board-2" in said


def test_last_night_with_another_status_is_a_problem() -> None:
    assert len(problems([_night(), _night(*CAUGHT, status=2)], quiet=1)) == 1


class Typed:
    """Stands for ./inv nightly: leaves the next of `nights` each time, and notes what the network was."""

    def __init__(self, state: Path, nights: list[Night]) -> None:
        self._state, self._nights = state, nights
        self.networks: list[str] = []
        self.words: list[tuple[str, ...]] = []

    def __call__(self, *words: str) -> int:
        self.words.append(words)
        self.networks.append((self._state.parent / "project" / "models" / f"{PLANTED}.py").read_text())
        if self._nights:
            self._nights.pop(0).write(self._state)
        return 0


def _run(tmp_path: Path, *nights: Night) -> tuple[Typed, list[Night], int]:
    project = Project(tmp_path / "project", tmp_path / "state", tmp_path / "cache", None)
    numbered = [night.model_copy(update={"id": f"20261126T02{place:02}00Z"}) for place, night in enumerate(nights)]
    typed = Typed(project.state, numbered)
    found, quiet = run_nights(project, "board", 8, typed)
    return typed, found, quiet


def test_network_changes_after_three_whole_nights_and_it_ends_when_the_plant_is_certain(tmp_path: Path) -> None:
    size = _night(_verdict(PLANTED, "board-1", "size"))
    typed, nights, quiet = _run(tmp_path, _night(), _night(status=2), _night(), _night(), size, _night(*CAUGHT))
    assert (len(nights), quiet) == (6, 4)
    assert len(set(typed.networks[:4])) == len(set(typed.networks[4:])) == 1
    assert typed.networks[3] != typed.networks[4]
    assert typed.words[0][:3] == ("nightly", "--models", "steady,planted")


def _bundles(folder: Path, layers: int) -> list[str]:
    """Fingerprints of the bundles that a night builds, of the steady model and of the other, which has `layers`."""
    project = Project(folder / "project", folder / "state", folder / "cache", None)
    write_target(project.root)
    write_model(project, STEADY)
    write_model(project, PLANTED, layers)
    found = []
    for name in (STEADY, PLANTED):
        plan = make_plan(read_recipe(name, project.root), read_target(TARGET, project.root))
        assert [variant.name for variant in plan.variants] == ["trained"]
        found.append(plan.nodes[plan.variants[0].bundle].fingerprint)
    return found


def test_plant_changes_the_bundle_of_its_own_model_alone(tmp_path: Path) -> None:
    # In folders of their own: within one process a source is read once.
    before, after = _bundles(tmp_path / "before", 6), _bundles(tmp_path / "after", 9)
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_plant_that_is_never_caught_ends_too(tmp_path: Path) -> None:
    _, nights, quiet = _run(tmp_path, *[_night()] * 9)
    assert (len(nights), quiet) == (3 + MOST_PLANTED, 3)
    assert problems(nights, quiet)


def test_night_that_leaves_no_record_ends_the_demo_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(NoDemo):
        _run(tmp_path, _night())


def test_demo_never_writes_where_a_teams_nights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDGEWRIGHT_LEDGER", "EDGEWRIGHT_WEBHOOK", "EDGEWRIGHT_WEBHOOK_KEY", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, "the team's")
    environments: list[dict[str, str]] = []

    class Done:
        returncode = 0

    def run(command: list[str], env: dict[str, str], cwd: Path, check: bool) -> Done:
        environments.append(env)
        return Done()

    monkeypatch.setattr("pipeline.demo.subprocess.run", run)
    typed_in(Project(tmp_path / "project", tmp_path / "state", tmp_path / "cache", None))("nightly")
    assert "the team's" not in environments[0].values()
    assert environments[0]["EDGEWRIGHT_STATE"] == str(tmp_path / "state")


def test_machine_without_sshd_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(tmp_path))

    def none(folder: Path, count: int) -> Any:
        raise FileNotFoundError("OpenSSH is not installed: apt-get install openssh-server")

    with pytest.raises(NoDemo, match="apt-get install openssh-server"):
        demo.demo(none)
    with pytest.raises(BadArgument):
        demo.demo(none, devices=0)


def test_doubles_that_are_not_there_are_told_as_a_message() -> None:
    with pytest.raises(NoDemo, match="clone Edgewright"), demo.with_a_checkout():
        raise ModuleNotFoundError("No module named 'tests.doubles'")
