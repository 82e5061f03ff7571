"""Plans: which steps, in which order, from which inputs; what variants come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.plan import make_plan
from pipeline.recipe import read_recipe
from targets.schema import read_target
from tests.pipeline.conftest import RECIPE, plan_of

ITERATIVE = """\
factory = "models.architectures.resnet:resnet8"
data = "digits"
[[shrink]]
name = "narrow"
filters = 0.5
rounds = 3
epochs = 5
round_epochs = 2
"""


def test_plan_lays_out_every_variant_in_every_precision(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, tmp_path)
    variants = {variant.name: (variant.precision, variant.parent) for variant in plan.variants}
    assert variants == {
        "trained": ("float32", None), "int8": ("int8", "trained"),
        "pruned": ("float32", "trained"), "pruned+int8": ("int8", "pruned"),
    }  # fmt: skip
    assert list(plan.nodes) == [
        "shared/samples",
        "trained/train", "trained/export", "trained/check", "trained/bundle",
        "int8/quantise", "int8/check", "int8/bundle",
        "pruned/prune", "pruned/distil", "pruned/export", "pruned/check", "pruned/bundle",
        "pruned+int8/quantise", "pruned+int8/check", "pruned+int8/bundle",
    ]  # fmt: skip


def test_plan_nodes_come_after_what_they_rest_on(tmp_path: Path) -> None:
    plan = plan_of(ITERATIVE, tmp_path)
    seen: set[str] = set()
    for node in plan.nodes.values():
        assert set(node.inputs.values()) <= seen
        seen.add(node.id)
    assert len({node.fingerprint for node in plan.nodes.values()}) == len(plan.nodes)


def test_plan_iterative_rounds_alternate_and_only_the_last_trains_long(tmp_path: Path) -> None:
    plan = plan_of(ITERATIVE, tmp_path)
    rounds = [node for node in plan.nodes.values() if node.variant == "narrow" and node.step in ("prune", "distil")]
    assert [node.label for node in rounds] == [f"{step} {n}/3" for n in (1, 2, 3) for step in ("prune", "distil")]
    assert [node.parameters["schedule"]["epochs"] for node in rounds if node.step == "distil"] == [2, 2, 5]
    assert all(node.inputs["teacher"] == "trained/train" for node in rounds if node.step == "distil")
    assert [node.inputs["model"] for node in rounds] == ["trained/train", *(node.id for node in rounds[:-1])]


def test_plan_checks_what_was_shrunk_against_the_base(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, tmp_path)
    assert set(plan.nodes["trained/check"].inputs) == {"network", "float"}
    assert plan.nodes["pruned+int8/check"].inputs == {
        "network": "pruned/distil", "float": "pruned/export", "base": "trained/export", "int8": "pruned+int8/quantise",
    }  # fmt: skip


def test_plan_takes_precisions_alignment_and_int8_settings_from_the_target(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "board.toml").write_text(
        'alignment = 4\nopset = 18\nprecisions = ["float32"]\n[int8]\nactivations = "int8"\n'
    )
    plan = plan_of(RECIPE, tmp_path, "board")
    assert [variant.name for variant in plan.variants] == ["trained", "pruned"]
    assert plan.nodes["pruned/prune"].parameters["alignment"] == 4
    assert plan.nodes["pruned/export"].parameters["opset"] == 18
    (tmp_path / "targets" / "board.toml").write_text('[int8]\nactivations = "int8"\n')
    assert plan_of(RECIPE, tmp_path, "board").nodes["int8/quantise"].parameters["activations"] == "int8"


def test_plan_retrain_leaves_the_weights_aside(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    plan = plan_of('weights = "w.safetensors"\n' + RECIPE, tmp_path)
    assert plan.nodes["trained/train"].parameters["weights"] == "w.safetensors"
    again = make_plan(plan.recipe, plan.target, retrain=True)
    assert again.nodes["trained/train"].parameters["weights"] is None
    assert again.nodes["trained/train"].fingerprint != plan.nodes["trained/train"].fingerprint


def test_needed_for_gives_only_what_it_rests_on_in_order(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, tmp_path)
    assert [node.id for node in plan.needed_for(["trained/export"])] == ["trained/train", "trained/export"]
    assert [node.id for node in plan.needed_for([plan.samples])] == ["shared/samples"]
    assert len(plan.needed_for([variant.bundle for variant in plan.variants])) == len(plan.nodes) - 1


def test_bundle_names_the_fingerprints_behind_it(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, tmp_path)
    steps = plan.nodes["int8/bundle"].parameters["origin"]["steps"]
    assert steps == {
        "train": plan.nodes["trained/train"].fingerprint, "export": plan.nodes["trained/export"].fingerprint,
        "quantise": plan.nodes["int8/quantise"].fingerprint, "check": plan.nodes["int8/check"].fingerprint,
    }  # fmt: skip


@pytest.mark.parametrize("model", ["digits", "resnet8", "resnet20"])
def test_shipped_recipe_plans_for_every_shipped_target(model: str, tmp_path: Path) -> None:
    for target in ("host", "raspberry-pi"):
        plan = make_plan(read_recipe(model, tmp_path), read_target(target, tmp_path))
        assert len(plan.variants) == 2 * (1 + len(plan.recipe.shrink))
