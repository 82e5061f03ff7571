"""The [quantise] table: what it lays out in a plan, what it changes in a fingerprint, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.recipe import BadRecipe, read_recipe
from pipeline.routes import precisions
from targets.schema import Runtime
from tests.pipeline.conftest import RECIPE, plan_of

TABLE = "[quantise]\n"


def test_made_ready_for_int8_only_int8_comes_from_it(tmp_path: Path) -> None:
    plan = plan_of(RECIPE + TABLE + "equalise = true\nqat_epochs = 2\n", tmp_path)
    nodes = plan.nodes
    assert nodes["pruned/equalise"].inputs == {"model": "pruned/distil"}
    assert nodes["pruned/qat"].inputs == {"model": "pruned/equalise", "teacher": "trained/train"}
    assert nodes["pruned/qat"].parameters["schedule"]["epochs"] == 2
    assert nodes["pruned/export"].inputs == {"model": "pruned/distil"}
    assert nodes["pruned+int8/export"].inputs == {"model": "pruned/qat"}
    assert nodes["pruned+int8/quantise"].inputs == {"model": "pruned+int8/export"}
    check = nodes["pruned+int8/check"].inputs
    assert (check["network"], check["float"]) == ("pruned/qat", "pruned+int8/export")
    assert nodes["int8/export"].inputs == {"model": "trained/qat"}


def test_qat_is_taught_only_where_outputs_are_logits(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text("def squares(outputs, targets):\n    return ((outputs - targets) ** 2).mean()\n")
    recipe = RECIPE.replace("[train]\n", '[train]\nloss = "loss.py:squares"\n') + TABLE + "qat_epochs = 1\n"
    qat = plan_of(recipe, tmp_path).nodes["trained/qat"]
    assert qat.inputs == {"model": "trained/train"}
    assert qat.parameters["teacher"] is None


@pytest.mark.parametrize("key", ['calibration = "minmax"', "samples = 64", "bias_correction = false", "mixed = false"])
def test_how_int8_is_made_is_in_its_fingerprint_and_in_no_other(key: str, tmp_path: Path) -> None:
    before = plan_of(RECIPE, tmp_path / "a").nodes
    after = plan_of(RECIPE + TABLE + key + "\n", tmp_path / "b").nodes
    changed = {name for name, node in after.items() if node.fingerprint != before[name].fingerprint}
    assert {name.partition("/")[0] for name in changed} == {"int8", "pruned+int8"}
    assert "pruned+int8/quantise" in changed


def test_recipe_chooses_among_the_precisions_that_a_runtime_can_have(tmp_path: Path) -> None:
    plan = plan_of(RECIPE + TABLE + 'precisions = ["dynamic"]\n', tmp_path)
    assert [variant.name for variant in plan.variants] == ["trained", "dynamic", "pruned", "pruned+dynamic"]
    assert plan.nodes["pruned+dynamic/quantise"].step == "reduce"
    tensorrt = Runtime(name="onnxruntime", providers=("TensorrtExecutionProvider",))
    assert precisions(("dynamic", "float16"), tensorrt) == ["float32", "float16"]
    assert precisions(None, tensorrt) == ["float32", "int8"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('calibration = "best"', "quantise.calibration"),
        ("samples = 0", "quantise.samples"),
        ("qat_epochs = -1", "quantise.qat_epochs"),
        ('precisions = ["int4"]', "quantise.precisions"),
        ('precisions = ["int8", "int8"]', "quantise"),
        ("calibrate = true", "quantise.calibrate"),
    ],
)
def test_wrong_key_is_named(text: str, where: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE + TABLE + text + "\n")
    with pytest.raises(BadRecipe) as caught:
        read_recipe(str(path), tmp_path)
    assert where in caught.value.where
