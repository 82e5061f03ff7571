"""`shrink` as a person types it, on the digits: it ends, goes on after a kill, and says what was not met."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cli import BOARD, FINISHED, ROOT, Ended, environment

CALL = """
import sys
from edgewright.errors import EdgewrightError
from pipeline.search.task import shrink
from tests.deploy.short import shorter
told = dict(word.split("=", 1) for word in sys.argv[1:])
given = {name: float(told[name]) for name in ("max_drop", "max_ms", "max_kb") if name in told}
try:
    with shorter():
        status = shrink(told.get("model", "digits"), told["target"], told.get("device"), budget=told["budget"],
                        seed=int(told.get("seed", 0)), json_file=told["json"], **given)
except EdgewrightError as error:
    print("error:", error)
    status = error.exit_status
sys.exit(status)
"""
KEYS = {
    "model", "target", "device", "seed", "constraints", "budget_s", "spent_s", "met", "why", "base", "front",
    "candidates", "chosen", "costs", "report", "page",
}  # fmt: skip


def _start(state: Path, **told: object) -> subprocess.Popen[str]:
    words = [f"{name}={value}" for name, value in {"target": BOARD, "budget": "40s", **told}.items()]
    return subprocess.Popen(
        [sys.executable, "-c", CALL, *words], env=environment(state), cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def _shrink(state: Path, **told: object) -> tuple[Ended, dict[str, Any]]:
    file = state.parent / "found.json"
    file.unlink(missing_ok=True)
    process = _start(state, json=file, **told)
    text, _ = process.communicate(timeout=900)
    found = json.loads(file.read_text()) if file.is_file() else {}
    return Ended(process.returncode, text), found


def _plans(state: Path) -> list[str]:
    """What the searches of a state decided to train."""
    return [path.read_text() for path in sorted(state.glob("searches/*/round-*.json")) if "measured" not in path.name]


@pytest.mark.slow
def test_shrink_meets_what_is_asked_and_a_second_time_measures_nothing(tmp_path: Path) -> None:
    ended, found = _shrink(tmp_path / "state", max_drop=5.0)
    assert ended.status in FINISHED, ended.text
    assert found["valid"] == (ended.status == 0)
    assert set(found) >= KEYS
    assert found["schema"] == "edgewright-shrink/1"
    assert found["met"]
    chosen = next(one for one in found["front"] if one["name"] == found["chosen"])
    assert found["base"]["metric"]["value"] - chosen["metric"]["value"] <= 0.05 + 1e-9
    assert Path(chosen["bundle"]).is_dir()
    assert Path(found["page"]).is_file()
    reports, plans = len(list((tmp_path / "state" / "reports").glob("*.json"))), _plans(tmp_path / "state")
    again, same = _shrink(tmp_path / "state", max_drop=5.0)
    assert again.status in FINISHED
    assert _plans(tmp_path / "state") == plans
    if found["valid"]:  # an invalid report is taken again
        assert same["front"] == found["front"]
        assert len(list((tmp_path / "state" / "reports").glob("*.json"))) == reports


@pytest.mark.slow
def test_killed_shrink_goes_on_with_the_same_plan(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "found.json"
    process = _start(state, json=file, max_drop=5.0)
    until = time.monotonic() + 600
    while not list(state.glob("searches/*/round-0.json")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    plans, spent = _plans(state), json.loads(next(state.glob("searches/*/spent.json")).read_text())["seconds"]
    assert plans
    ended, found = _shrink(state, max_drop=5.0)
    assert ended.status in FINISHED, ended.text
    assert _plans(state)[: len(plans)] == plans
    assert len(list(state.glob("searches/*/spent.json"))) == 1
    assert found["spent_s"] > spent


@pytest.mark.slow
def test_what_cannot_be_met_ends_with_the_best_found(tmp_path: Path) -> None:
    ended, found = _shrink(tmp_path / "state", max_drop=0.0, max_ms=0.000001, budget="20s")
    assert ended.status == (3 if found["valid"] else 4), ended.text
    assert not found["met"]
    assert found["chosen"] is None
    assert found["front"]
    assert "not met" in ended.text
    took = json.loads(next((tmp_path / "state").glob("searches/*/base-took.json")).read_text())["seconds"]
    told = [line for line in found["warnings"] if "the trained network took" in line]
    assert len(told) == (took > 10), "a base that took more than half of the budget is told"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"max_drop": -1}, "--max-drop"),
        ({"max_ms": 0}, "--max-ms"),
        ({"max_kb": 0.01}, "--max-kb"),
        ({"budget": "soon"}, "--budget"),
        ({"device": "nobody"}, "nobody"),
    ],
)
def test_what_makes_no_sense_is_said_before_any_work(tmp_path: Path, told: dict[str, Any], said: str) -> None:
    ended, found = _shrink(tmp_path / "state", **told)
    ended.assert_plain()
    assert said in ended.text
    assert not found
    assert not (tmp_path / "state" / "store").exists()
