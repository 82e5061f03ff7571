"""`bisect` as a person types it: their own commits, and the bundles of their ledger, measured on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agents.bundle import Bundle, write_bundle
from device_agents.farm.ledger.ledger import Ledger
from pipeline.bundles import keep_bundle
from pipeline.project import Project
from tests.bench.verdicts.nets import stack
from tests.deploy.cli import BOARD, SHORT, Ended, command, environment, run
from tests.device_agents.farm.ledger import made

pytestmark = pytest.mark.slow

NAMED, INVALID = 0, 4

NET = """\
from torch import nn


def build():
    layers = []
    for place in range(LAYERS):
        layers += [nn.Conv2d(24 if place else 1, 24, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 2))


LAYERS = 4
"""

DATA = '''\
"""Noise, brighter where y is 1."""
import numpy as np


def load():
    y = np.arange(240) % 2
    x = np.random.default_rng(0).normal(0, 1, (240, 1, 12, 12)) + y[:, None, None, None]
    cut = lambda a, b: (x[a:b], y[a:b])
    return {
        "train": cut(0, 120), "validation": cut(120, 180), "test": cut(180, 240), "calibration": cut(0, 64),
        "labels": ["dark", "bright"], "preprocessing": {"divide_by": 1},
    }
'''

RECIPE = """\
factory = "net.py:build"
data = "data.py:load"
shrink = []
[train]
epochs = 0
"""


@dataclass(frozen=True)
class Own:
    """A person's own project, not Edgewright's checkout: a git repository whose models/ is theirs."""

    root: Path
    first: str
    titles: Sequence[str]

    def git(self, *words: str) -> str:
        return _git(self.root, *words)

    def edgewright(self, *words: str) -> list[str]:
        """As `edgewright` typed in the project's folder, by the console script."""
        return [sys.executable, str(Path(sys.executable).with_name("edgewright")), *words]

    def bisect(self, *words: str) -> list[str]:
        return self.edgewright("bisect", *words, "--target", "onnx", "--commits", "--device", "host", "--anyway")

    def environment(self) -> dict[str, str]:
        given = environment(self.root / ".edgewright", EDGEWRIGHT_ROOT=str(self.root))
        return given | {"PYTHONPATH": ""}

    def run(self, *words: str, folder: Path | None = None) -> Ended:
        done = subprocess.run(
            words,
            cwd=folder or self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        return Ended(done.returncode, done.stdout)

    def checkout(self) -> str:
        """All that git says of the person's files, index, branch and worktrees."""
        asked = (["status", "--porcelain=v2", "--branch"], ["worktree", "list"], ["diff", "--cached"])
        return "\n".join(self.git(*words) for words in asked)


def _git(folder: Path, *words: str) -> str:
    me = ["-c", "user.name=me", "-c", "user.email=me@here", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *me, *words], capture_output=True, check=True, text=True).stdout


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Six commits: the fourth makes the network three times as deep, the third can't be built; nothing else matters."""
    root = tmp_path / "own"
    (root / "models").mkdir(parents=True)
    (root / "targets").mkdir()
    _git(root, "init", "-q", "-b", "main")
    net = root / "models" / "net.py"
    (root / "models" / "data.py").write_text(DATA)
    (root / "models" / "mine.toml").write_text(RECIPE)
    (root / "targets" / "onnx.toml").write_text(Path(BOARD).read_text())
    (root / ".gitignore").write_text(".edgewright/\n")
    texts = {
        "first": NET,
        "a comment": NET + "# That many.\n",
        "broken": NET.replace("build()", "buil()"),
        "three times as deep": NET.replace("LAYERS = 4", "LAYERS = 12"),
        "words": NET.replace("LAYERS = 4", "LAYERS = 12") + "# Deep.\n",
        "more words": NET.replace("LAYERS = 4", "LAYERS = 12") + "# Very deep.\n",
    }
    for title, text in texts.items():
        net.write_text(text)
        _git(root, "add", "-A")
        _git(root, "commit", "-q", "-m", title)
    first = _git(root, "rev-list", "--max-parents=0", "HEAD").strip()
    # Under way when they ask: something staged, something not.
    (root / "staged").write_text("staged")
    _git(root, "add", "staged")
    net.write_text("unfinished")
    return Own(root, first, list(texts))


def test_commit_that_made_the_network_deeper_is_named(own: Own, tmp_path: Path) -> None:
    before, told = own.checkout(), tmp_path / "found.json"
    # A path as it is typed in the folder of the recipe; a name does as well (see pipeline/test_commits.py).
    words = own.bisect("mine.toml", "--good", own.first, "--variant", "trained", "--budget", "10", "--json", str(told))
    ended = own.run(*words, folder=own.root / "models")
    assert ended.status in (NAMED, INVALID), ended.text
    found = json.loads(told.read_text())
    assert found["first_bad"].split(" ", 1)[1] == own.titles[3], ended.text
    assert "latency" in found["metrics"]
    assert [name.split(" ", 1)[1] for name in found["suspects"]] == own.titles[2:4]
    assert "net.py has no 'build'" in ended.text and "Traceback" not in ended.text
    # One measurement, of the one bundle that differs; the words cost none.
    listed = own.run(*own.edgewright("ledger", "--json", "--limit", "0"))
    (report,) = json.loads(listed.text)
    assert report["purpose"] == "bisect"
    assert {one["report"] for one in found["tried"]} == {None, report["id"]}
    assert own.checkout() == before
    assert not list((own.root / ".edgewright" / "bisect").iterdir())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_cut_off_in_mid_build_leaves_no_worktree_and_no_process(
    number: signal.Signals, status: int, own: Own, tmp_path: Path
) -> None:
    before, told = own.checkout(), tmp_path / "found.json"
    words = own.bisect("mine", "--good", own.first, "--json", str(told))
    process = _started(words, own.environment(), own.root)
    trees = own.root / ".edgewright" / "bisect"
    deadline = time.monotonic() + 120
    while not list(trees.glob("*/models")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    (tree,) = trees.iterdir()
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert own.checkout() == before
    assert not tree.exists()
    assert not _processes(str(own.root))
    assert not told.exists() or json.loads(told.read_text())["verdict"] == "unfinished"


def _started(words: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """A task in a process of its own, which heeds Ctrl-C also where a shell started the tests in the background."""
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _processes(word: str) -> list[str]:
    """Command lines of living processes that name it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and str(os.getpid()) != path.parent.name:
            found.append(line)
    return found


def test_bundle_of_the_ledger_with_more_layers_is_named(tmp_path: Path) -> None:
    state, told = tmp_path / "state", tmp_path / "found.json"
    bundles = [_named_stack(tmp_path, place, layers) for place, layers in enumerate((10, 10, 10, 30, 30))]
    project = Project(tmp_path, state, tmp_path / "cache", None)
    with Ledger.open(None, state) as ledger:  # earlier measurements, quicker made up than taken
        for bundle in bundles[:4]:
            report = made.report(model="stack", target="host", purpose="bench")
            report.results[0] |= {"name": "stack", "bundle": keep_bundle(project, bundle).digest}
            ledger.append(report)
    words = ("bench", "--device", "host", "--anyway", "--processes", "1", str(bundles[4].folder))
    measured = run(state, *words, program=SHORT, EDGEWRIGHT_ROOT=str(tmp_path))
    assert measured.status in (0, INVALID), measured.text
    # The folder that it was measured from may go: `bench` has kept it. One that is nowhere is gone around.
    shutil.rmtree(bundles[4].folder)
    shutil.rmtree(state / "bundles" / bundles[2].digest)
    ended = run(
        state, "bisect", "stack", "--target", "host", "--device", "host", "--good", bundles[0].digest[:12], "--anyway",
        "--budget", "6", "--json", str(told), program=SHORT, EDGEWRIGHT_ROOT=str(tmp_path),
    )  # fmt: skip
    assert ended.status in (NAMED, INVALID), ended.text
    found = json.loads(told.read_text())
    assert found["first_bad"].startswith(bundles[3].digest[:16]), ended.text
    # On a busy machine the second one may not be told from the first.
    assert [name[:16] for name in found["suspects"]][-2:] == [bundle.digest[:16] for bundle in bundles[2:4]]
    assert "latency" in found["metrics"] and "size" in found["metrics"]


def _named_stack(folder: Path, place: int, layers: int) -> Bundle:
    """A stack whose graph has a name of its own, so that its digest differs, in a bundle named `stack`."""
    made = stack(folder / f"made{place}", layers, name=f"stack-{place}")
    return write_bundle(folder / f"stack{place}", made.model_file, made.manifest.model_copy(update={"name": "stack"}))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["digits"], "was accepted yet"),
        (["digits", "--device", "nobody"], "no device 'nobody'"),
        (["digits", "--commits", "--good", "HEAD"], "not a git repository"),
        (["digits", "--budget", "0"], "is no budget"),
    ],
)
def test_what_cannot_be_asked_ends_in_a_message(words: list[str], says: str, tmp_path: Path) -> None:
    ended = run(tmp_path / "state", "bisect", *words, EDGEWRIGHT_ROOT=str(tmp_path))
    ended.assert_plain()
    assert says in ended.text


@pytest.mark.parametrize(("task", "number"), [("bench", signal.SIGINT), ("compare", signal.SIGTERM)])
def test_measurement_that_is_cut_off_leaves_no_agent_and_no_half_file(
    task: str, number: signal.Signals, tmp_path: Path
) -> None:
    state, told = tmp_path / "state", tmp_path / "told.json"
    bundle = str(stack(tmp_path / "one", 25).folder)
    words = ["bench", bundle, "--processes", "500"] if task == "bench" else ["compare", bundle, bundle]
    words = command(*words, "--device", "host", "--anyway", "--json", str(told))
    process = _started(words, environment(state, EDGEWRIGHT_ROOT=str(tmp_path)), tmp_path)
    deadline = time.monotonic() + 120
    while not _blocks(state) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _blocks(state), "no block was measured"
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode not in (0, None) and "Traceback" not in said, said
    assert not told.exists()
    while (left := _processes(str(state))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    # Its lines stay for a day, but make no report; two days later they go with the next task that measures.
    (journal,) = (state / "journal").glob("*.jsonl")
    assert json.loads(run(state, "ledger", "--json", EDGEWRIGHT_ROOT=str(tmp_path)).text) == []
    old = time.time() - 2 * 24 * 3600
    os.utime(journal, (old, old))
    run(state, "compare", bundle, "accepted", EDGEWRIGHT_ROOT=str(tmp_path)).assert_plain()
    assert not journal.exists()


def _blocks(state: Path) -> bool:
    return any(b'"kind":"block"' in path.read_bytes() for path in (state / "journal").glob("*.jsonl"))
