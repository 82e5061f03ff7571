"""The shipped digits recipe from nothing to bundles, as a first-time user builds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.plan import make_plan
from pipeline.recipe import read_recipe
from targets.schema import read_target
from tests.pipeline.conftest import ONNX, builder_of, wanted


@pytest.mark.slow
def test_digits_every_variant_holds_the_floor_and_is_smaller(tmp_path: Path) -> None:
    plan = make_plan(read_recipe("digits", tmp_path), read_target(ONNX, tmp_path))
    done = builder_of(plan, tmp_path).build(plan, wanted(plan))
    assert [str(one.trouble) for one in done.values() if one.trouble] == []
    figures, exports = {}, {}
    for variant in plan.variants:
        inputs = plan.nodes[variant.bundle].inputs
        check, export = done[inputs["check"]].artifact, done[inputs["model"]].artifact
        assert check is not None
        assert export is not None
        figures[variant.name] = check.summary["metric_int8" if variant.precision == "int8" else "metric_float"]
        exports[variant.name] = export.summary
    assert min(figures.values()) >= plan.recipe.metric.floor - 0.01, figures
    for variant in plan.variants:
        if variant.parent is not None:
            assert exports[variant.name]["bytes"] < exports[variant.parent]["bytes"] * 0.9
    for name in ("pruned", "shallow"):
        assert exports[name]["macs"] < exports["trained"]["macs"] * 0.5
