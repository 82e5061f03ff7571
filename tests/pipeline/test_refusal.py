"""What one runtime's converter refuses takes only that runtime's variants; where there is no other, the build ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.export.to_tflite import NotConvertible
from pipeline.plan import Plan, make_plan, with_a_base
from pipeline.recipe import read_recipe
from targets.schema import Runtime, Target
from tests.pipeline.conftest import builder_of, wanted
from tests.pipeline.export import tflited

NET = """\
import torch
from torch import nn

class Counting(nn.Module):
    def forward(self, x):
        return x * torch.linalg.det(x.reshape(-1, 4, 4))[:, None].sigmoid()

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), Counting(), nn.Linear(16, 10))
"""
RECIPE = 'factory = "net.py:build"\ndata = "digits"\n[metric]\nfloor = 0.1\n[train]\nepochs = 1\nthreads = 1\n'


def _plan(folder: Path, *runtimes: Runtime) -> Plan:
    (folder / "net.py").write_text(NET)
    (folder / "own.toml").write_text(RECIPE + "[[shrink]]\nname = 'narrow'\nneurons = 0.5\nepochs = 1\n")
    target = Target(name="board", runtime=runtimes)
    return make_plan(read_recipe(str(folder / "own.toml"), folder), target)


LITERT, ORT = Runtime(name="litert", precisions=("float32",)), Runtime(name="onnxruntime", precisions=("float32",))


@pytest.mark.slow
def test_refusal_of_one_converter_leaves_the_other_runtime(tmp_path: Path) -> None:
    tflited.installed()
    plan = _plan(tmp_path, LITERT, ORT)
    built = builder_of(plan, tmp_path).build(plan, wanted(plan))
    trouble = built["trained/export"].trouble
    assert isinstance(trouble, NotConvertible) and "_linalg_det" in trouble.what
    assert "Counting" in trouble.where
    made = {variant.name for variant in plan.variants if built[variant.bundle].artifact}
    assert "trained@onnxruntime" in made and "trained" not in made
    variants = with_a_base(plan.variants, made)
    assert [variant.name for variant in variants if variant.parent is None] == ["trained@onnxruntime"]


@pytest.mark.slow
def test_refusal_with_no_other_runtime_ends_the_build_before_any_pruning(tmp_path: Path) -> None:
    tflited.installed()
    plan = _plan(tmp_path, LITERT)
    with pytest.raises(NotConvertible, match="_linalg_det") as caught:
        builder_of(plan, tmp_path).build(plan, wanted(plan))
    assert "trained/export" in caught.value.where
    assert not list((tmp_path / "store" / "artifacts").glob("*narrow*"))
