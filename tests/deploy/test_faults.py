"""What goes wrong around a deploy ends in one clear message, loses nothing, and the next run goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.deploy.cli import BOARD, FINISHED, ROOT, SHORT, run, start
from tests.deploy.conftest import Deployed
from tests.doubles.loopback import Loopback, declare

pytestmark = pytest.mark.slow


def test_unknown_names_say_what_there_is(tmp_path: Path) -> None:
    for words, known in (
        (("--target", "raspbery-pi"), "raspberry-pi"),
        (("--model", "resnet9"), "resnet8"),
        (("--device", "nobody"), "./inv devices"),
    ):
        ended = run(tmp_path, "deploy", *words)
        ended.assert_plain()
        assert known in ended.text


def test_killed_at_ten_random_moments_gives_the_same_bundles(deployed: Deployed, tmp_path: Path) -> None:
    """SIGKILL to the whole process group, at moments spread over the whole deploy; each run goes on from the last."""
    state, dice = tmp_path / "state", random.Random(20)
    words = ("deploy", "--model", "digits", "--target", BOARD, "--json", str(tmp_path / "o.json"))
    kills = 0
    for _ in range(10):
        process = start(state, *words, program=SHORT)
        time.sleep(dice.uniform(0.5, 8))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    ended = run(state, *words, program=SHORT)
    assert kills >= 5, "the deploy is too quick for this test: shorten the waits"
    assert ended.status in FINISHED, ended.text
    outcome = json.loads((tmp_path / "o.json").read_text())
    assert bundles(state) == bundles(deployed.state)
    assert [variant["bytes"] for variant in outcome["variants"]] == [
        variant["bytes"] for variant in deployed.outcome["variants"]
    ]
    assert run(state, "store.verify").status == 0


def bundles(state: Path) -> set[str]:
    """Digests of all bundles that a state holds."""
    return {folder.name for folder in (state / "bundles").iterdir() if len(folder.name) == 64}


def test_damaged_artifact_is_named_and_mended(own_state: Path) -> None:
    record = next(
        found
        for path in (own_state / "store" / "artifacts").glob("*.json")
        if (found := json.loads(path.read_text()))["step"] == "samples"
    )
    digest = record["files"]["evaluation.npz"]["sha256"]
    damaged = own_state / "store" / "objects" / digest[:2] / digest
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    ended = run(own_state, "deploy", "--model", "digits", "--target", BOARD, program=SHORT)
    ended.assert_plain()
    assert "./inv store.verify --remove" in ended.text
    run(own_state, "store.verify").assert_plain()
    assert run(own_state, "store.verify", "--remove").status == 0
    assert run(own_state, "store.verify").status == 0
    again = run(own_state, "deploy", "--model", "digits", "--target", BOARD, program=SHORT)
    assert again.status in FINISHED, again.text


def test_damaged_bundle_folder_is_made_again(deployed: Deployed, own_state: Path) -> None:
    model = next((own_state / "bundles").glob("*/model.onnx"))
    model.write_bytes(model.read_bytes()[:-1])
    ended = run(own_state, "deploy", "--model", "digits", "--target", BOARD, program=SHORT)
    assert ended.status in FINISHED, ended.text
    assert run(own_state, "store.verify").status == 0


def test_two_builds_of_one_store_at_once_share_the_work(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = start(state, "build", "--model", "digits")
    second = start(state, "build", "--model", "digits")
    texts = [first.communicate(timeout=600)[0], second.communicate(timeout=600)[0]]
    assert first.returncode == second.returncode == 0, texts
    assert any("another process is making" in text for text in texts)
    trained = [json.loads(path.read_text())["node"] for path in (state / "store" / "artifacts").glob("*.json")]
    assert len(trained) == len(set(trained))
    assert run(state, "store.verify").status == 0


def test_two_deploys_to_one_device_at_once_name_the_holder(own_state: Path) -> None:
    words = ("deploy", "--model", "digits", "--target", BOARD)
    first, second = (start(own_state, *words, program=SHORT) for _ in range(2))
    texts = [first.communicate(timeout=600)[0], second.communicate(timeout=600)[0]]
    statuses = [first.returncode, second.returncode]
    busy, ran = sorted(statuses, key=lambda status: status != 1)
    assert busy == 1 and ran in FINISHED, texts
    said = texts[0] if first.returncode == 1 else texts[1]
    assert "is busy" in said and "Traceback" not in said, texts


def test_store_is_not_collected_while_a_build_runs(own_state: Path) -> None:
    import fcntl

    with (own_state / "store" / "locks" / "store").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        run(own_state, "store.gc", "--budget", "1K").assert_plain()
    assert run(own_state, "store.gc", "--budget", "1K").status == 0
    assert not list((own_state / "store" / "objects").glob("*/*"))


@pytest.mark.device
def test_deploy_to_a_loopback_sshd_declared_as_a_board(deployed: Deployed, own_state: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    with Loopback(tmp_path / "pi") as double:
        declare(double, root / "farm.toml", "onnx", "my-pi")
        ended = run(
            own_state, "deploy", "--model", str(ROOT / "models" / "digits.toml"), "--target", BOARD,
            "--json", str(tmp_path / "o.json"), program=SHORT, EDGEWRIGHT_ROOT=str(root),
        )  # fmt: skip
    assert ended.status in FINISHED, ended.text
    outcome = json.loads((tmp_path / "o.json").read_text())
    assert outcome["device"] == "my-pi"
    assert outcome["stand_in"] is True
    assert [variant["metric"] for variant in outcome["variants"]] == [
        variant["metric"] for variant in deployed.outcome["variants"]
    ]


@pytest.mark.device
def test_unreachable_device_fails_before_anything_is_built(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    with Loopback(tmp_path / "pi") as double:
        declare(double, root / "farm.toml", "onnx", "my-pi")
    ended = run(
        tmp_path / "state",
        "deploy",
        "--model",
        str(ROOT / "models" / "digits.toml"),
        "--target",
        BOARD,
        EDGEWRIGHT_ROOT=str(root),
    )
    ended.assert_plain()
    assert "my-pi" in ended.text
    assert not (tmp_path / "state" / "store" / "artifacts").exists()
