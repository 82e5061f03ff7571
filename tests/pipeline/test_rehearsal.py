"""Impossible pruning is refused before the training that it would have made useless."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline.build import Builder
from pipeline.plan import Plan, make_plan
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.pruning.tracer import NotTraceable
from pipeline.recipe import read_recipe
from pipeline.rehearsal import RehearsalFailed
from pipeline.steps.base import Places
from pipeline.store import Store
from targets.schema import read_target
from tests.pipeline.conftest import ONNX

RESNET = 'factory = "models.architectures.resnet:resnet8"\narguments = { stem_stride = 1 }\ndata = "digits"\n'
OWN = 'factory = "net.py:make"\ndata = "digits"\n'
WORDS = 'factory = "net.py:make"\ndata = "words.py:load"\n'

BRANCHING = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3), nn.Linear(16, 10)

    def forward(self, x):
        x = self.first(x).mean([2, 3])
        if x.sum() > 0:
            x = x * 2
        return self.second(x)


def make(): return Net()
"""
TIED = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.hidden = nn.Embedding(1200, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, 1200, bias=False)
        self.out.weight = self.words.weight

    def forward(self, x):
        return self.out(self.hidden(self.words(x)).mean(1))


def make(): return Net()
"""
TOKENS = """\
import numpy as np


def load():
    x = np.random.default_rng(0).integers(1, 1200, (64, 6))
    return {name: (x, x[:, 0]) for name in ("train", "validation", "test", "calibration")}
"""
OWN_LOSS = """\
def loss(outputs, targets):
    if outputs.shape[0] != 7:
        raise RuntimeError("I only take sevens")
"""


def builder_for(
    folder: Path, shrink: str, head: str = RESNET, files: Mapping[str, str] | None = None
) -> tuple[Builder, list[str], Plan]:
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    (folder / "own.toml").write_text(f"{head}train.epochs = 10000\n[[shrink]]\n{shrink}\n")
    plan = make_plan(read_recipe(str(folder / "own.toml"), folder), read_target(ONNX, folder))
    done: list[str] = []
    builder = Builder(
        Store(folder / "store"), Places(folder, folder / "cache"), Silent(), lambda one: done.append(one.node.id)
    )
    return builder, done, plan


@pytest.mark.parametrize(
    ("shrink", "what"),
    [
        ("filters = 0.99", "min_width"),
        ("filters = 0.01", "takes no channel"),
        ("blocks = 0.2", "of 1 removable residual blocks"),
        ("blocks = 1.0\nfilters = 0.99", "min_width"),
        ("heads = 0.5", "heads"),
        ("vocabulary = true", "No embedding of this network can lose rows"),
        ("macs = 0.999", "macs = 0.999"),
        ("filters = 0.5\nrounds = 3\nsparsity = 0.99999", "leaves"),
    ],
)
def test_impossible_request_is_refused_before_any_training(tmp_path: Path, shrink: str, what: str) -> None:
    builder, done, plan = builder_for(tmp_path, shrink)
    with pytest.raises(EdgewrightError) as caught:
        builder.build(plan, [variant.bundle for variant in plan.variants])
    assert not isinstance(caught.value, RehearsalFailed)
    assert what in caught.value.what
    assert caught.value.where.startswith(("pruned/prune", "pruned/sparsify"))
    assert caught.value.remedy
    assert done == []
    assert not list(tmp_path.glob("store/artifacts/*"))


@pytest.mark.parametrize(
    ("shrink", "head", "files", "kind", "says"),
    [
        ("filters = 0.5", OWN, {"net.py": BRANCHING}, NotTraceable, ""),
        ("vocabulary = true", WORDS, {"net.py": TIED, "words.py": TOKENS}, ImpossibleRatio, "No embedding"),
        (
            "filters = 0.5",
            RESNET + 'train.loss = "own.py:loss"\n',
            {"own.py": OWN_LOSS},
            RehearsalFailed,
            "RuntimeError: I only take sevens",
        ),
    ],
    ids=["branching", "tied", "loss"],
)
def test_network_that_cannot_be_pruned_is_refused_before_any_training(
    tmp_path: Path, shrink: str, head: str, files: Mapping[str, str], kind: type[EdgewrightError], says: str
) -> None:
    builder, done, plan = builder_for(tmp_path, shrink, head, files)
    with pytest.raises(kind) as caught:
        builder.build(plan, [variant.bundle for variant in plan.variants])
    assert says in caught.value.what
    assert caught.value.where.startswith("pruned/prune")
    assert caught.value.remedy
    assert done == []


def test_fine_tuning_of_given_weights_is_rehearsed_too(tmp_path: Path) -> None:
    """The second variant is impossible: it is told before the first one is fine-tuned."""
    from pipeline import network
    from pipeline.steps.base import NetworkSpec

    spec = NetworkSpec(factory="models.architectures.resnet:resnet8", arguments={"stem_stride": 1})
    (tmp_path / "w.safetensors").write_bytes(network.weights_of(network.original(spec, tmp_path)))
    second = "[[shrink]]\nname = 'late'\nfilters = 0.99\n"
    builder, done, plan = builder_for(
        tmp_path, f"filters = 0.5\nepochs = 10000\n{second}", 'weights = "w.safetensors"\n' + RESNET
    )
    with pytest.raises(ImpossibleRatio) as caught:
        builder.build(plan, [variant.bundle for variant in plan.variants])
    assert caught.value.where.startswith("late/prune")
    assert done == []


def test_samples_alone_need_no_rehearsal(tmp_path: Path) -> None:
    builder, done, plan = builder_for(tmp_path, "filters = 0.99")
    builder.build(plan, [plan.samples])
    assert done == ["shared/samples"]
