"""Impossible pruning is refused before the training that it would have made useless."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline.build import Builder
from pipeline.plan import Plan, make_plan
from pipeline.recipe import read_recipe
from pipeline.steps.base import Places
from pipeline.store import Store
from targets.schema import read_target


def builder_for(folder: Path, shrink: str) -> tuple[Builder, list[str], Plan]:
    (folder / "own.toml").write_text(
        'factory = "models.architectures.resnet:resnet8"\narguments = { stem_stride = 1 }\ndata = "digits"\n'
        f"[train]\nepochs = 10000\n[[shrink]]\n{shrink}\n"
    )
    plan = make_plan(read_recipe(str(folder / "own.toml"), folder), read_target("host", folder))
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
    ],
)
def test_impossible_ratio_is_refused_before_any_training(tmp_path: Path, shrink: str, what: str) -> None:
    builder, done, plan = builder_for(tmp_path, shrink)
    with pytest.raises(EdgewrightError) as caught:
        builder.build(plan, [variant.bundle for variant in plan.variants])
    assert what in caught.value.what
    assert caught.value.where.startswith("pruned/prune")
    assert done == []
    assert not list(tmp_path.glob("store/artifacts/*"))


def test_samples_alone_need_no_rehearsal(tmp_path: Path) -> None:
    builder, done, plan = builder_for(tmp_path, "filters = 0.99")
    builder.build(plan, [plan.samples])
    assert done == ["shared/samples"]
