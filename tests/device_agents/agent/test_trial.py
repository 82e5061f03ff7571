"""A trial as a process of its own: it ends by the host's word, or by itself once the host is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent import current, releases, trust
from device_agents.agent.reserve import reserve
from device_agents.agent.stage import stage
from device_agents.pack import agent
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.agent.released import MODEL, STAMP, assert_usable, links, send
from tests.device_agents.farm.jobs import wait_until
from tests.device_agents.signer import Signer
from tests.prerequisites import require

ME = ("--who", "ada", "--host", "bench")


class Agent:
    """The agent's zipapp, as a device runs it."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.root = root
        self.python = sys.executable
        self._file = folder / "agent.pyz"
        self._file.write_bytes(agent().data)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, command: str, *words: str, who: tuple[str, ...] = ME) -> subprocess.Popen[bytes]:
        argv = [self.python, "-I", str(self._file), command, "--root", str(self.root), f"--now={time.time()}"]
        process = subprocess.Popen(
            [*argv, *who, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.started.append(process)
        return process

    def ask(self, command: str, *words: str, who: tuple[str, ...] = ME) -> list[dict[str, Any]]:
        out, error = self.start(command, *words, who=who).communicate(timeout=60)
        assert not error, error.decode()
        return [json.loads(line) for line in out.splitlines()]

    def trial(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """A trial that has switched already."""
        process = self.start("trial", "--model", MODEL, "--name", name, *words)
        assert heard(process)["kind"] == "switched"
        return process


def heard(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1].decode()
    return dict(json.loads(line))


def say(process: subprocess.Popen[bytes], **told: object) -> list[dict[str, Any]]:
    """What the trial says to the host's word, to its end."""
    out, error = process.communicate(json.dumps(told).encode() + b"\n", timeout=60)
    assert not error, error.decode()
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Agent]:
    """A device on which 1.0.0 is current and good, and 1.1.0 staged."""
    root = tmp_path / "root"
    made = Agent(tmp_path, root)
    for version in ("1.0.0", "1.1.0"):
        name = str(stage(str(root), MODEL, send(root, version), STAMP)["name"])
        if version == "1.0.0":
            current.switch(str(root / "releases" / MODEL), name, STAMP)
            current.keep(str(root / "releases" / MODEL))
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def named(device: Agent, version: str) -> str:
    folder = device.root / "releases" / MODEL
    return next(path.name for path in folder.iterdir() if path.name.startswith(f"{version}-"))


def test_host_that_says_keep_makes_the_release_good(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    assert process.stdin is not None
    process.stdin.write(b"\n\n")
    told = say(process, keep=True)
    assert [one["kind"] for one in told] == ["kept", "end"] and told[0]["removed"] == [] and told[1]["ok"]
    assert links(device.root) == ("1.1.0", "1.0.0") and process.returncode == 0


def test_host_that_says_no_has_the_old_release_back(device: Agent) -> None:
    told = say(device.trial(named(device, "1.1.0")), keep=False, why="wrong answers")
    assert told[0]["kind"] == "back" and told[0]["current"].startswith("1.0.0-") and told[0]["why"] == "wrong answers"
    assert links(device.root) == ("1.0.0", None)
    (model,) = device.ask("releases")[0]["models"]
    assert model["failed"]["version"] == "1.1.0" and model["failed"]["why"] == "wrong answers"


def test_host_that_goes_away_has_the_old_release_back(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    told = process.communicate(timeout=60)[0]
    assert b'"back"' in told and b"the host is gone" in told
    assert links(device.root) == ("1.0.0", None)


def test_host_that_falls_silent_has_the_old_release_back(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"), "--silence", "1")
    assert "nothing was heard from the host for 1 s" in heard(process)["why"]
    assert links(device.root) == ("1.0.0", None)


def test_trial_that_is_told_to_stop_has_the_old_release_back(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    assert links(device.root) == ("1.0.0", None)
    assert device.ask("releases")[0]["models"][0]["failed"]["why"] == "the agent was told to stop"


def test_trial_that_is_killed_is_settled_by_whoever_looks_next(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    busy = device.ask("releases")[0]
    assert busy["busy"]["who"] == "ada" and busy["settled"] == {}
    process.kill()
    process.wait()
    assert links(device.root) == ("1.1.0", None)
    assert_usable(device.root, first=False)
    found = device.ask("releases", "--check")[0]
    assert found["busy"] is None and found["settled"] == {MODEL: named_in(found, "failed")}
    assert links(device.root) == ("1.0.0", None)
    assert [one["damaged"] for one in found["models"][0]["releases"]] == [[]]


def named_in(found: dict[str, Any], key: str) -> str:
    return str(found["models"][0][key]["name"])


def test_second_rollout_is_refused_while_one_is_on_trial(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    for command, words in (
        ("trial", ("--name", named(device, "1.0.0"))),
        ("stage", ("--version", "2.0.0", "--digest", "0" * 64, "--signature", "0" * 64, "--bundle", "0" * 64)),
    ):
        end = device.ask(command, "--model", MODEL, *words)[-1]
        assert (end["ok"], end["error"]) == (False, "busy") and end["holder"]["who"] == "ada"
    say(process, keep=True)
    assert links(device.root) == ("1.1.0", "1.0.0")


def test_device_that_somebody_reserved_is_looked_at_and_left_alone(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    process.kill()
    process.wait()
    reserve(str(device.root), {"who": "bob", "host": "bench"}, 3600, "", time.time())
    assert device.ask("trial", "--model", MODEL, "--name", named(device, "1.0.0"))[-1]["error"] == "reserved"
    found = device.ask("releases")[0]
    assert found["settled"] == {} and found["models"][0]["current"].startswith("1.1.0-")
    assert device.ask("releases", who=("--who", "bob", "--host", "bench"))[0]["settled"]


def test_damaged_release_is_not_switched_to(device: Agent) -> None:
    name = named(device, "1.1.0")
    (device.root / "releases" / MODEL / name / "labels.txt").write_text("changed")
    end = device.ask("trial", "--model", MODEL, "--name", name)[-1]
    assert end["error"] == "refused" and "labels.txt" in end["message"]
    assert links(device.root) == ("1.0.0", None)
    assert device.ask("trial", "--model", MODEL, "--name", "9.9.9-000000000000")[-1]["error"] == "refused"


def test_release_that_no_trusted_key_has_signed_is_not_switched_to(device: Agent) -> None:
    """It was staged before the device was told to trust one."""
    trust.add(str(device.root), Signer(b"ada").line)
    end = device.ask("trial", "--model", MODEL, "--name", named(device, "1.1.0"))[-1]
    assert end["error"] == "refused" and "signature" in end["message"]
    (device.root / "trust" / "keys").write_text("damaged")
    end = device.ask("trial", "--model", MODEL, "--name", named(device, "1.1.0"))[-1]
    assert end["error"] == "refused" and "can't be read" in end["message"]
    assert links(device.root) == ("1.0.0", None)


def test_older_releases_and_their_bundles_go_when_a_third_is_kept(device: Agent) -> None:
    say(device.trial(named(device, "1.1.0")), keep=True)
    asked = send(device.root, "1.2.0")
    name = str(stage(str(device.root), MODEL, asked, STAMP)["name"])
    oldest = named(device, "1.0.0")
    bundle = releases.state_of(str(device.root / "releases" / MODEL), oldest)["bundle"]
    told = say(device.trial(name), keep=True)
    assert told[0]["removed"] == [oldest]
    assert not (device.root / "bundles" / bundle).exists() and (device.root / "bundles" / asked["bundle"]).exists()


def test_survey_of_a_device_without_releases_makes_nothing(device: Agent, tmp_path: Path) -> None:
    device.root = tmp_path / "empty"
    assert device.ask("releases", "--check")[0]["models"] == []
    assert not device.root.exists()


@pytest.mark.parametrize("minor", [8, 9, 13])
def test_trial_runs_under_every_python_that_devices_have(device: Agent, minor: int) -> None:
    found = python(minor)
    require(found, HOW.format(minor))
    assert found is not None
    device.python = found
    told = say(device.trial(named(device, "1.1.0")), keep=True)
    assert told[0]["kind"] == "kept"
    assert device.ask("releases", "--check")[0]["models"][0]["current"] == named(device, "1.1.0")


def test_lock_is_free_once_a_trial_is_over(device: Agent) -> None:
    process = device.trial(named(device, "1.1.0"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: device.ask("releases")[0]["busy"] is None, "the lock is free")
