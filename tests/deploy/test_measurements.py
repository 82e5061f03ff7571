"""Measuring by hand on a loopback double, as a person does: what is caught, what is blamed, what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle
from tests.bench.verdicts.nets import stack
from tests.deploy.cli import BOARD, Ended, run, start
from tests.doubles.loopback import Loopback, declare, free_port
from tests.doubles.quota import Quota

pytestmark = [pytest.mark.slow, pytest.mark.device, pytest.mark.alone]

RECIPE = """\
factory = "models.architectures.resnet:resnet8"
arguments = { widths = [16, 16, 32], stem_stride = 1 }
data = "digits"
shrink = []
[metric]
floor = 0.5
[train]
epochs = 3
batch = 64
threads = 1
"""
SAME, WORSE, INVALID, UNDECIDED = 0, 3, 4, 5


@dataclass(frozen=True)
class Farm:
    """A project with one device, `box`: this machine behind an SSH server, as the device of target host that it is."""

    root: Path
    state: Path
    double: Loopback

    def run(self, *words: str) -> Ended:
        return run(self.state, *words, EDGEWRIGHT_ROOT=str(self.root))

    def compare(self, a: Bundle | str, b: Bundle | str, *words: str) -> tuple[Ended, dict[str, Any]]:
        """`compare` on the double, also where it is busy: how it ended, and what it wrote as JSON."""
        told = self.root / "told.json"
        told.unlink(missing_ok=True)
        ended = self.run("compare", _given(a), _given(b), "--device", "box", "--anyway", "--json", str(told), *words)
        assert told.is_file(), ended.text
        return ended, json.loads(told.read_text())

    def reports(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("ledger", "--json", "--limit", "0").text)
        return found


def _given(bundle: Bundle | str) -> str:
    return bundle if isinstance(bundle, str) else str(bundle.folder)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    root = tmp_path / "project"
    root.mkdir()
    with Loopback(tmp_path / "box") as double:
        declare(double, root / "farm.toml", "host", "box", stand_in=False)
        yield Farm(root, tmp_path / "state", double)


def test_four_percent_more_work_is_caught_and_as_much_is_not(farm: Farm, tmp_path: Path) -> None:
    one, more = stack(tmp_path / "one", 25), stack(tmp_path / "more", 26)
    _, told = farm.compare(one, more, "--budget", "90")
    latency = told["metrics"]["latency"]
    assert latency["verdict"] == "worse", told
    assert latency["low"] <= 0.04 <= latency["high"]
    _, told = farm.compare(one, one, "--budget", "90")
    assert told["metrics"]["latency"]["verdict"] in ("same", "undecided"), told
    assert told["metrics"]["size"]["change"] == 0


def test_float_in_place_of_the_accepted_int8_is_caught(tmp_path: Path) -> None:
    root, state = tmp_path / "project", tmp_path / "state"
    root.mkdir()
    (root / "small.toml").write_text(RECIPE)
    with Loopback(tmp_path / "box") as double:
        declare(double, root / "farm.toml", "onnx", "box", stand_in=False)
        (root / "targets").mkdir()
        (root / "targets" / "onnx.toml").write_text(Path(BOARD).read_text())

        def typed(*words: str) -> Ended:
            return run(state, *words, EDGEWRIGHT_ROOT=str(root))

        made = tmp_path / "made.json"
        built = typed("build", "--model", str(root / "small.toml"), "--target", "onnx", "--json", str(made))
        assert built.status == 0, built.text
        bundles = {name: one["digest"][:16] for name, one in json.loads(made.read_text())["variants"].items()}
        float_, int8 = bundles["trained"], bundles["int8"]
        unmeasured = typed("accept", int8)
        unmeasured.assert_plain()
        assert "--unmeasured" in unmeasured.text
        measured = typed("bench", "--device", "box", "--anyway", int8)
        assert measured.status in (0, INVALID), measured.text
        assert typed("accept", int8, *(["--unmeasured"] if measured.status else [])).status == 0
        told = tmp_path / "told.json"
        ended = typed("compare", "accepted", float_, "--device", "box", "--anyway", "--json", str(told))
    compared = json.loads(told.read_text())
    assert compared["a"].startswith(int8)
    assert compared["metrics"]["size"]["word"] == "larger"
    assert ended.status in (WORSE, INVALID), ended.text
    assert compared["verdict"] == ("worse" if compared["valid"] else None)


def test_device_that_a_quota_holds_back_is_blamed_and_not_the_model(farm: Farm, tmp_path: Path) -> None:
    one, same = stack(tmp_path / "one", 25), stack(tmp_path / "same", 25, name="same")
    with Quota("device") as quota:
        quota.hold(farm.double.pid)
        quota.share(0.5)
        ended, told = farm.compare(one, same, "--budget", "25")
    assert ended.status == INVALID, ended.text
    assert not told["valid"]
    assert any("held back" in problem for problem in told["problems"]), told["problems"]
    assert told["verdict"] is None
    assert told["metrics"]["latency"]["verdict"] != "worse"
    assert "held back" in ended.text


def test_throttling_in_mid_job_makes_its_blocks_repeat(farm: Farm, tmp_path: Path) -> None:
    """The device is held to a quarter of a core in the middle of a job until a block was spoilt, then let go."""
    bundle = stack(tmp_path / "one", 25)
    told = tmp_path / "reports.json"
    with Quota("mid-job") as quota:
        quota.hold(farm.double.pid)

        def journal() -> bytes:
            return b"".join(one.read_bytes() for one in (farm.state / "journal").glob("*.jsonl"))

        def seen(line: bytes, patience_s: float) -> None:
            """It stands in what the journal got since."""
            before, deadline = len(journal()), time.monotonic() + patience_s
            while time.monotonic() < deadline and not re.search(line, journal()[before:]):
                time.sleep(0.05)

        def throttle() -> None:
            seen(b'"kind":"block"', 90)
            quota.share(0.25)
            # Not for a fixed time: on a slow machine a process's start, where no block can be spoilt, takes seconds.
            # Not for any block either: those of the canary model are done again too, but no variant's result has them.
            seen(b'"name":"stack".*"kept":false', 20)
            quota.share(None)

        beside = threading.Thread(target=throttle)
        beside.start()
        ended = farm.run(
            "bench", "--device", "box", "--anyway", "--processes", "6", "--json", str(told), _given(bundle)
        )
        beside.join()
        assert quota.throttled_s
    (report,) = json.loads(told.read_text())
    (result,) = report["results"]
    assert result["redone"], ended.text
    assert len(result["blocks"]) == 6 * 8
    again = {(block["process"], block["round"]) for block in result["redone"]}
    kept = [block for block in result["blocks"] if (block["process"], block["round"]) in again]
    assert kept and all(1 <= block["attempt"] <= 3 for block in kept)


def test_bad_state_is_refused_or_makes_the_report_invalid_and_the_status_says_so(farm: Farm, tmp_path: Path) -> None:
    """A board whose supply is too weak: its vcgencmd says so, by the recorded tree that its agent reads."""
    bundle = stack(tmp_path / "one", 25)
    tools = farm.double.folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "vcgencmd").write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50001\n')
    (tools / "vcgencmd").chmod(0o755)
    declare(farm.double, farm.root / "farm.toml", "host", "box", stand_in=False)
    text = (farm.root / "farm.toml").read_text()
    wrapper = tools / "python3"
    wrapper.write_text(f'#!/bin/sh\nPATH="{tools}:$PATH" exec {farm.double.python} "$@"\n')
    wrapper.chmod(0o755)
    (farm.root / "farm.toml").write_text(text.replace(f'"{farm.double.python}"', f'"{wrapper}"'))
    refused = farm.run("bench", "--device", "box", _given(bundle))
    assert refused.status == INVALID, refused.text
    assert "undervoltage before the job" in refused.text
    measured = farm.run("bench", "--device", "box", "--anyway", _given(bundle))
    assert measured.status == INVALID
    assert [(one["valid"], one["purpose"]) for one in farm.reports()] == [(False, "bench"), (False, "bench")]


def test_report_is_kept_while_the_database_is_away_and_its_writer_is_killed(farm: Farm, tmp_path: Path) -> None:
    """Nobody listens at the ledger's address; the run is killed while it tries again, and the next one files."""
    bundle = stack(tmp_path / "one", 10)
    away = {"EDGEWRIGHT_ROOT": str(farm.root), "EDGEWRIGHT_LEDGER": f"postgresql://127.0.0.1:{free_port()}/nobody"}
    running = start(farm.state, "bench", "--device", "box", "--anyway", "--processes", "1", _given(bundle), **away)
    deadline = time.monotonic() + 120
    while not (found := list((farm.state / "reports").glob("*.json"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    said, _ = running.communicate()
    assert found, said
    assert "stack" not in said.partition("device:")[2], "something was said of a report that was not filed yet"
    assert [one["id"] for one in farm.reports()] == [found[0].stem]
    assert not list((farm.state / "reports").glob("*.unfiled"))


def test_run_that_dies_after_it_has_measured_is_taken_up_by_the_next(farm: Farm, tmp_path: Path) -> None:
    """What a kill between the agent's closing marker and the report leaves: a whole journal, and no report."""
    bundle = stack(tmp_path / "one", 10)
    running = start(
        farm.state, "bench", "--device", "box", "--anyway", "--processes", "1", _given(bundle),
        EDGEWRIGHT_ROOT=str(farm.root),
    )  # fmt: skip
    journal, kept = farm.state / "journal", tmp_path / "journal"
    while running.poll() is None and not kept.exists():
        for path in journal.glob("*.jsonl"):
            kept.hardlink_to(path)  # what the run unlinks stays here, whole
            name = path.name
        time.sleep(0.01)
    running.communicate()
    assert b'"kind":"end"' in kept.read_bytes()
    (report,) = (farm.state / "reports").glob("*.json")
    before = json.loads(report.read_text())
    shutil.rmtree(farm.state / "reports")
    (farm.state / "ledger.sqlite").unlink()
    (journal / name).write_bytes(kept.read_bytes())
    listed = farm.run("compare", _given(bundle), _given(bundle), "--device", "nobody")
    listed.assert_plain()  # whatever is typed next
    (again,) = (farm.state / "reports").glob("*.json")
    after = json.loads(again.read_text())
    assert after["results"] == before["results"]
    assert [one["id"] for one in farm.reports()] == [before["id"]]
