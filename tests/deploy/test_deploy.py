"""The main job end to end on this machine: what it prints, writes and returns."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from device_agents.bundle import read_bundle
from tests.deploy.cli import BOARD, FINISHED, ROOT, SHORT, environment, run
from tests.deploy.conftest import Deployed
from tests.deploy.short import DEPLOY

pytestmark = pytest.mark.slow

VARIANTS = ["trained", "int8", "pruned", "pruned+int8", "shallow", "shallow+int8"]


def test_outcome_has_the_promised_shape(deployed: Deployed) -> None:
    outcome = deployed.outcome
    assert {"model", "target", "device", "stand_in", "valid", "variants", "shipped", "bundle", "report"} <= set(outcome)
    assert [variant["name"] for variant in outcome["variants"]] == VARIANTS
    for variant in outcome["variants"]:
        assert (variant["format"], variant["runtime"]) == ("onnx", "onnxruntime")
        assert variant["parity"]["same"] and variant["providers"] == ["CPUExecutionProvider"]
        assert variant["precision"] == ("int8" if "int8" in variant["name"] else "float32")
        assert variant["bytes"] > 0 and variant["params"] > 0 and variant["macs"] > 0
        assert variant["metric"]["name"] == "top-1" and variant["metric"]["on_device"] is True
        assert 0 < variant["latency_ms"]["p50"] <= variant["latency_ms"]["p90"] <= variant["latency_ms"]["p99"]
        assert variant["latency_ms"]["n"] >= math.prod(DEPLOY[name] for name in ("processes", "blocks", "samples"))
        assert variant["reason"]
    assert outcome["variants"][0]["speedup"] is None
    assert all(variant["speedup"]["low"] <= variant["speedup"]["high"] for variant in outcome["variants"][1:])


def test_every_shrunk_file_is_smaller_than_what_it_came_from(deployed: Deployed) -> None:
    size = {variant["name"]: variant["bytes"] for variant in deployed.outcome["variants"]}
    for name in VARIANTS[1:]:
        parent = name.removesuffix("+int8") if name.endswith("+int8") else "trained"
        assert size[name] < size[parent]


def test_metric_of_the_device_is_the_host_s(deployed: Deployed) -> None:
    """The digits' test part has 360 samples: the device's float top-1 is a multiple of 1/360 and above the floor."""
    for variant in deployed.outcome["variants"]:
        assert round(variant["metric"]["value"] * 360, 6) == int(variant["metric"]["value"] * 360 + 0.5)
    assert deployed.outcome["variants"][0]["metric"]["value"] > 0.95


def test_stand_in_is_said_wherever_a_figure_is_shown(deployed: Deployed) -> None:
    assert deployed.outcome["stand_in"] is True
    assert "this machine, standing in (no onnx in farm.toml)" in deployed.ended.text
    assert "its figures are not the board's" in deployed.ended.text
    page = Path(deployed.outcome["page"]).read_text()
    assert "standing in" in page
    assert json.loads(Path(deployed.outcome["report"]).read_text())["device"]["stand_in"] is True


def test_shipped_bundle_is_whole_and_tells_no_path_of_this_machine(deployed: Deployed) -> None:
    folder = Path(deployed.outcome["bundle"])
    bundle = read_bundle(folder)
    assert bundle.manifest.name == deployed.outcome["shipped"]
    assert bundle.manifest.labels == list("0123456789")
    home, root = str(Path.home()).encode(), str(Path(__file__).resolve().parents[2]).encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        assert root not in content and home + b"/" not in content and b"site-packages" not in content


def test_second_deploy_builds_nothing_and_says_so(deployed: Deployed, own_state: Path, tmp_path: Path) -> None:
    words = ("deploy", "--model", "digits", "--target", BOARD, "--json", str(tmp_path / "again.json"))
    again = run(own_state, *words, program=SHORT)
    assert "nothing to build" in again.text
    outcome = json.loads((tmp_path / "again.json").read_text())
    assert all(step["cached"] for step in outcome["steps"])
    assert [variant["bytes"] for variant in outcome["variants"]] == [
        variant["bytes"] for variant in deployed.outcome["variants"]
    ]
    reports = [json.loads(path.read_text()) for path in (own_state / "reports").glob("*.json")]
    assert sum(report["purpose"] == "deploy" for report in reports) == 2


def test_build_with_nothing_to_do_loads_no_framework(own_state: Path) -> None:
    code = (
        "import sys\n"
        "from pipeline import commands\n"
        f"commands.build('digits', {BOARD!r}, dry_run=False)\n"
        "heavy = {'torch', 'tensorflow', 'onnx', 'onnxruntime', 'numpy', 'sklearn', 'paramiko'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(own_state), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to build" in done.stdout


def test_another_target_shares_what_does_not_depend_on_the_target(own_state: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_bytes(Path(BOARD).read_bytes())
    told = run(own_state, "deploy", "--model", "digits", "--target", str(tmp_path / "other.toml"), "--dry-run")
    assert told.status == 0
    would = [line.split()[0] for line in told.text.splitlines() if "would run" in line and "steps" not in line]
    assert would and all(node.endswith("/bundle") for node in would), told.text


def test_explain_names_what_changed(own_state: Path, tmp_path: Path) -> None:
    recipe = Path(__file__).resolve().parents[2] / "models" / "digits.toml"
    changed = tmp_path / "digits.toml"
    changed.write_text(recipe.read_text().replace("filters = 0.5", "filters = 0.4"))
    told = run(own_state, "explain", "--model", str(changed), "--target", BOARD)
    assert "pruned/prune" in told.text
    assert "parameters.filters: 0.5 > 0.4" in told.text
    assert "its input pruned/prune is made anew" in told.text
    assert "trained/train" in told.text and "in the store" in told.text


def test_floor_above_the_trained_network_is_told_before_any_pruning(own_state: Path, tmp_path: Path) -> None:
    recipe = Path(__file__).resolve().parents[2] / "models" / "digits.toml"
    strict = tmp_path / "digits.toml"
    strict.write_text(recipe.read_text().replace("floor = 0.95", "floor = 0.9999"))
    ended = run(own_state, "deploy", "--model", str(strict), "--target", BOARD)
    assert ended.status == 3, ended.text
    assert "the floor is 0.9999" in ended.text
    assert "metric.floor" in ended.text
    assert "prune" not in ended.text.partition("next:")[0].replace("pruned", "")


def test_metric_of_the_user_is_taken_from_the_device_s_outputs(own_state: Path, tmp_path: Path) -> None:
    recipe = Path(__file__).resolve().parents[2] / "models" / "digits.toml"
    (tmp_path / "worst_class.py").write_text(
        "def recall(outputs, targets):\n"
        "    hits = outputs.argmax(-1) == targets\n"
        "    return min(hits[targets == label].mean() for label in set(targets))\n"
    )
    own = tmp_path / "digits.toml"
    own.write_text(
        recipe.read_text().replace("[metric]", '[metric]\nname = "worst_class.py:recall"').replace("0.95", "0.5")
        # One picture of the worst class of 200 is five points of it: INT8 may lose more than a check allows by default.
        + "\n[check]\nmetric_drop = 0.3\n"
    )
    words = ("deploy", "--model", str(own), "--target", BOARD, "--json", str(tmp_path / "o.json"))
    ended = run(own_state, *words, program=SHORT)
    assert ended.status in FINISHED, ended.text
    metrics = [variant["metric"] for variant in json.loads((tmp_path / "o.json").read_text())["variants"]]
    assert all(metric["name"] == "worst_class.py:recall" for metric in metrics)
    assert all(0 < metric["value"] <= 1 for metric in metrics)
