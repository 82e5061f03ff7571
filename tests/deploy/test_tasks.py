"""What a person types reaches the task that it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invoke import Context, Exit

from tests.deploy.cli import run
from tests.doubles.loopback import Loopback, declare


@pytest.mark.slow
def test_probe_of_this_machine_tells_what_it_is(tmp_path: Path) -> None:
    ended = run(tmp_path / "state", "devices.probe", "host", "--json")
    assert ended.status == 0, ended.text
    assert json.loads(ended.text)["facts"]["machine"]


@pytest.mark.slow
@pytest.mark.device
def test_device_named_like_a_task_is_still_a_device(tmp_path: Path) -> None:
    with Loopback(tmp_path / "device") as double:
        declare(double, tmp_path / "farm.toml", "raspberry-pi", "double")
        shown = run(tmp_path / "state", "devices", EDGEWRIGHT_ROOT=str(tmp_path))
        probed = run(tmp_path / "state", "devices.probe", "double", EDGEWRIGHT_ROOT=str(tmp_path))
        trusted = run(tmp_path / "state", "devices.trust", "double", EDGEWRIGHT_ROOT=str(tmp_path))
    assert "double" in shown.text and "standing in" in shown.text
    assert probed.status == 0 and probed.text.startswith("double\n"), probed.text
    assert trusted.status == 0 and "double is trusted" in trusted.text


def test_unknown_device_is_named_with_what_there_is(tmp_path: Path) -> None:
    ended = run(tmp_path / "state", "devices.probe", "nobody", EDGEWRIGHT_ROOT=str(tmp_path))
    ended.assert_plain()
    assert "nobody" in ended.text


@pytest.mark.parametrize(
    ("valid", "shipped", "status"), [(False, "pruned", 4), (False, None, 4), (True, None, 3), (True, "pruned", None)]
)
def test_exit_status_says_what_the_outcome_is_worth(
    monkeypatch: pytest.MonkeyPatch, valid: bool, shipped: str | None, status: int | None
) -> None:
    from pipeline import commands
    from tasks.shrinking import deploy

    outcome = {"valid": valid, "problems": ["throttling happened in the job"], "shipped": shipped, "emulated": False}
    monkeypatch.setattr(commands, "deploy", lambda *given: outcome)
    if status is None:
        deploy(Context())
        return
    with pytest.raises(Exit) as caught:
        deploy(Context())
    assert caught.value.code == status
    assert valid or "throttling" in str(caught.value)


def test_list_shows_every_task(tmp_path: Path) -> None:
    ended = run(tmp_path / "state", "--list")
    assert ended.status == 0
    for task in (
        "deploy",
        "build",
        "train",
        "explain",
        "models",
        "targets",
        "devices.trust",
        "devices.reserve",
        "nightly",
        "dashboard",
        "farm.demo",
        "store.gc",
        "test",
        "lint",
    ):
        assert task in ended.text


@pytest.mark.parametrize(("verdicts", "status"), [(["same answers"], None), (["same answers", "failed"], 3)])
def test_exit_status_of_an_emulated_device_says_whether_its_answers_are_the_same(
    monkeypatch: pytest.MonkeyPatch, verdicts: list[str], status: int | None
) -> None:
    from pipeline import commands
    from tasks.shrinking import deploy

    variants = [{"verdict": verdict} for verdict in verdicts]
    outcome = {"valid": True, "problems": [], "shipped": None, "emulated": True, "variants": variants}
    monkeypatch.setattr(commands, "deploy", lambda *given: outcome)
    if status is None:
        deploy(Context())
        return
    with pytest.raises(Exit) as caught:
        deploy(Context())
    assert caught.value.code == status
