"""A person's own model: six lines of recipe, a factory and a loader beside it, no code of ours touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device_agents.bundle import read_bundle
from pipeline.build import Builder, bundle_folder
from pipeline.export.compare import run_file
from pipeline.plan import Plan
from tests.pipeline.conftest import wanted

RECIPE = """\
factory = "net.py:make"
arguments = { width = 16 }
data = "stripes.py:load"
metric.floor = 0.9
[[shrink]]
filters = 0.5
"""

NET = """\
import torch
from torch import nn

from layers import conv


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.features = nn.Sequential(conv(1, width), conv(width, width * 2))
        self.head = nn.Linear(width * 2, 3)

    def forward(self, x):
        return self.head(self.features(x).mean([2, 3]))


def make(width):
    return Net(width)
"""

LAYERS = """\
from torch import nn


def conv(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
"""

STRIPES = '''\
"""Pictures with level, upright or slanting stripes under noise."""
import numpy as np
import pytest


def load():
    random = np.random.default_rng(0)
    y = np.arange(600) % 3
    row, column = np.mgrid[:12, :12]
    waves = np.stack([row, column, row + column])[y] * 1.6 + random.uniform(0, 6, (600, 1, 1))
    x = (np.sin(waves) + random.normal(0, 0.3, waves.shape))[:, None]
    cut = lambda a, b: (x[a:b], y[a:b])
    return {
        "train": cut(0, 400), "validation": cut(400, 500), "test": cut(500, 600), "calibration": cut(0, 64),
        "labels": ["level", "upright", "slanting"], "preprocessing": {"divide_by": 1},
    }
'''


@pytest.mark.slow
def test_own_model_and_data_go_from_six_lines_to_bundles(
    tmp_path: Path, in_folder: Callable[[str], tuple[Plan, Builder]]
) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    for name, text in (("net.py", NET), ("layers.py", LAYERS), ("stripes.py", STRIPES)):
        (folder / name).write_text(text)
    assert len(RECIPE.splitlines()) == 6
    plan, builder = in_folder(RECIPE)
    done = builder.build(plan, wanted(plan))
    assert [one.trouble for one in done.values() if one.trouble] == []
    sizes = {}
    with np.load(done[plan.samples].artifact.path("evaluation.npz")) as samples:  # type: ignore[union-attr]
        x, y = samples["x"], samples["y"]
    for variant in plan.variants:
        artifact = done[variant.bundle].artifact
        assert artifact is not None
        bundle = read_bundle(bundle_folder(artifact, tmp_path / variant.name))
        manifest = bundle.manifest
        assert manifest.labels == ["level", "upright", "slanting"]
        assert manifest.inputs[0].shape == [1, 1, 12, 12]
        outputs = run_file((bundle.folder / manifest.file).read_bytes(), x)
        assert float((outputs.argmax(1) == y).mean()) >= 0.9, variant.name
        sizes[variant.name] = manifest.bytes
    assert sizes["pruned+int8"] < sizes["pruned"] < sizes["trained"]
    assert sizes["int8"] < sizes["trained"]
