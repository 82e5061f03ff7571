"""The verdicts' bench: what its table counts as wrong, and that a quick run goes through."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.bench.verdicts.ab import KINDS, table
from tests.bench.verdicts.nets import LAYERS, stack
from tests.bench.verdicts.real import judged, text


def _trial(said: str, change: float, **given: Any) -> dict[str, Any]:
    low, high = change - 0.01, change + 0.01
    return {"said": said, "change": change, "low": low, "high": high, "seconds": 20.0, "valid": True} | given


def test_table_counts_each_verdict_and_the_intervals_that_hold_the_truth() -> None:
    trials = [_trial("same", 0.0), _trial("slower", 0.03), _trial("undecided", 0.005, valid=False)]
    rule = {"threshold": 0.02, "error": 0.02, "looks": 6, "budget_s": 60.0}
    text = table({"rule": rule, "kinds": [{"name": "equal", "more": 0.0, "trials": trials}]})
    assert text.splitlines()[-1].startswith("| equal | 3 | 1 | 1 | 0 | 1 | 2 | +0.50 % | 20 (20) | 1 |")


def test_slowed_down_network_has_a_known_share_more_layers(tmp_path: Path) -> None:
    sizes = {}
    for layers in (LAYERS, LAYERS + 1):
        model = onnx.load(str(stack(tmp_path / str(layers), layers).model_file))
        sizes[layers] = sum(node.op_type == "Conv" for node in model.graph.node)
    assert sizes == {LAYERS: LAYERS, LAYERS + 1: LAYERS + 1}
    assert {round(kind.more, 4) for kind in KINDS} == {0.0, 0.0303}


@pytest.mark.slow
def test_quick_run_measures_and_simulates(project_root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "EDGEWRIGHT_STATE": str(tmp_path / "state"), "PYTHONPATH": str(project_root)}
    command = [sys.executable, "-m", "tests.bench.verdicts", "--quick", "--out", str(tmp_path / "verdicts.md")]
    done = subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    raw = json.loads((tmp_path / "verdicts.json").read_bytes())
    assert [len(kind["trials"]) for kind in raw["ab"]["kinds"]] == [1, 1]
    assert all(trial["pairs"] >= 4 for kind in raw["ab"]["kinds"] for trial in kind["trials"])
    assert raw["series"]
    page = (tmp_path / "verdicts.md").read_text()
    assert "| equal, load beside | 1 |" in page and "white 1 %" in page


def test_real_runs_become_nights_and_a_step_put_into_them_is_seen() -> None:
    dice = random.Random(4)

    def trial(number: int) -> dict[str, Any]:
        blocks = [1e6 * math.exp(dice.gauss(0, 0.01)) for _ in range(8)]
        return {"number": number, "night": {"valid": number != 7, "blocks": blocks, "canary_blocks": [1e5] * 8}}

    told = judged({"kinds": [{"trials": [trial(number) for number in range(70)]}]})
    assert (told["nights"], told["alarms"], told["device"]) == (69, 0, 0)
    assert told["10%"] and all(delay is not None and delay <= 4 for delay in told["10%"])
    assert "69 repeated runs" in text(told) and "A step of 10%" in text(told)
