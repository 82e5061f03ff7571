"""Plans: which steps, in which order, from which inputs; what variants come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.fingerprint import _read as code_of_source
from pipeline.plan import Node, Plan, make_plan
from pipeline.recipe import read_recipe
from targets.schema import read_target, target_files
from tests.pipeline.conftest import RECIPE, plan_of

ROAD = ("prune", "sparsify", "rewind", "distil")
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


HEAD = 'factory = "models.architectures.resnet:resnet8"\ndata = "digits"\n[train]\nepochs = 10\n[[shrink]]\n'


def _road(plan: Plan, variant: str = "pruned") -> list[Node]:
    """A variant's nodes up to its trained network."""
    return [node for node in plan.nodes.values() if node.variant == variant and node.step in ROAD]


def _told(plan: Plan, step: str) -> list[dict[str, Any]]:
    return [dict(node.parameters) for node in _road(plan) if node.step == step]


@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        ("filters = 0.5", ["prune", "distil"]),
        ("vocabulary = true", ["prune", "distil"]),
        ("sparsity = 0.9", ["sparsify", "distil"]),
        ("sparsity = 0.9\nrounds = 2", ["sparsify 1/2", "distil 1/2", "sparsify 2/2", "distil 2/2"]),
        ("heads = 0.5\nsparsity = 0.5", ["prune 1/2", "distil 1/2", "sparsify 2/2", "distil 2/2"]),
        ("filters = 0.5\nrewind = 'initial'", ["prune", "rewind", "retrain"]),
        ("sparsity = 0.5\nrewind = 'early'\nrounds = 2",
         [f"{one} {k}/2" for k in (1, 2) for one in ("sparsify", "rewind", "retrain")]),
        ("student = 'models.architectures.resnet:resnet20'", ["student"]),
        ("student = 'models.architectures.resnet:resnet20'\nfilters = 0.5", ["student", "prune", "distil"]),
    ],
)  # fmt: skip
def test_plan_lays_out_each_technique(tmp_path: Path, keys: str, labels: list[str]) -> None:
    plan = plan_of(HEAD + keys, tmp_path)
    road = _road(plan)
    assert [node.label for node in road] == labels
    taken = ["trained/train", *(node.id for node in road)]
    begin = 1 if "student" in keys else 0  # a student starts from nothing
    assert [node.inputs["model"] for node in road[begin:]] == taken[begin : len(road)]
    assert ("model" not in road[0].inputs) == (begin == 1)
    assert plan.nodes["pruned/export"].inputs["model"] == road[-1].id


def test_plan_two_in_four_is_one_round_and_only_for_hardware_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "board.toml").write_text('sparsity = ["2:4"]\n')
    recipe = HEAD + "filters = 0.5\npattern = '2:4'\nrounds = 2\n[[shrink]]\nname = 'narrow'\nfilters = 0.5\n"
    plan = plan_of(recipe, tmp_path, "board")
    assert [node.label for node in _road(plan)] == [
        "prune 1/3", "distil 1/3", "prune 2/3", "distil 2/3", "sparsify 3/3", "distil 3/3"
    ]  # fmt: skip
    (told,) = _told(plan, "sparsify")
    assert (told["sparsity"], told["pattern"], told["round"], told["rounds"]) == (0.5, "2:4", 1, 1)
    assert plan.skipped == {}
    plan = plan_of(recipe, tmp_path)
    assert list(plan.skipped) == ["pruned"]
    assert "onnx has no hardware for 2:4 sparsity" in plan.skipped["pruned"]
    assert [variant.name for variant in plan.variants] == ["trained", "int8", "narrow", "narrow+int8"]


def test_plan_tells_the_prune_step_what_the_recipe_says(tmp_path: Path) -> None:
    plan = plan_of(
        HEAD + "blocks = 0.5\nmacs = 0.4\nstructures = ['heads']\nvocabulary = true\ncriterion = 'fpgm'\n"
        "ranking = 'group'\nlayer_importance = 'metric'\nmin_width = 4\nmin_heads = 2\nskip = ['stem']\n"
        "samples = 100\nrecalibrate = false\nrounds = 2\ncurve = 'cubic'\n",
        tmp_path,
    )
    first, second = _told(plan, "prune")
    asked = {
        "blocks": 0.5, "filters": 0, "budget": ["macs", 0.4], "structures": ["heads"], "criterion": "fpgm",
        "ranking": "group", "layer_importance": "metric", "metric": "top-1", "min_width": 4, "min_heads": 2,
        "skip": ["stem"], "samples": 100, "recalibrate": False, "rounds": 2, "curve": "cubic", "alignment": 8,
    }  # fmt: skip
    assert {key: first[key] for key in asked} == asked == {key: second[key] for key in asked}
    assert (first["vocabulary"], second["vocabulary"]) == (True, False)


@pytest.mark.parametrize(
    ("keys", "schedules"),
    [
        ("filters = 0.5", [(0, 2, 0.1)]),
        ("filters = 0.5\nfine_tune = 0.5\nlearning_rate = 0.3", [(0, 5, 0.3)]),
        ("filters = 0.5\nlearning_rates = 'rewind'\nrounds = 2\nepochs = 4", [(9, 10, 0.2), (6, 10, 0.2)]),
        ("filters = 0.5\nrewind = 'initial'", [(0, 10, 0.2)]),
        ("filters = 0.5\nrewind = 'early'", [(1, 10, 0.2)]),
        ("student = 'models.architectures.resnet:resnet20'", [(0, 10, 0.2)]),
        ("student = 'models.architectures.resnet:resnet20'\nepochs = 3", [(0, 3, 0.2)]),
    ],
)
def test_plan_gives_each_training_its_schedule(
    tmp_path: Path, keys: str, schedules: list[tuple[int, int, float]]
) -> None:
    told = [one["schedule"] for one in _told(plan_of(HEAD + keys, tmp_path), "distil")]
    assert [(one["begin"], one["epochs"], one["learning_rate"]) for one in told] == schedules


def test_plan_asks_the_floor_of_the_last_training_alone(tmp_path: Path) -> None:
    plan = plan_of(HEAD.replace("[train]", "[metric]\nfloor = 0.9\n[train]") + "filters = 0.5\nrounds = 2", tmp_path)
    assert [one["floor"] for one in _told(plan, "distil")] == [None, 0.9]


def test_plan_ticket_starts_from_the_weights_it_asks_for(tmp_path: Path) -> None:
    early = plan_of(HEAD + "sparsity = 0.5\nrewind = 'early'", tmp_path / "early")
    assert early.nodes["pruned/rewind"].inputs == {"model": "pruned/sparsify", "start": "trained/train"}
    assert early.nodes["trained/train"].parameters["early"] == 1
    initial = plan_of(HEAD + "sparsity = 0.5\nrounds = 2\nrewind = 'initial'", tmp_path / "initial")
    control = plan_of(HEAD + "sparsity = 0.5\nrounds = 2\nrewind = 'random'", tmp_path / "random")
    assert [one["to"] for one in _told(control, "rewind")] == ["initial", "random"]
    # The control is made of the very mask: all up to the last rewinding is the ticket's own, done once.
    same = [one.fingerprint == other.fingerprint for one, other in zip(_road(initial), _road(control), strict=True)]
    assert same == [True, True, True, True, False, False]
    assert all(one["teacher"] is None and one["distillation"] == 0 for one in _told(control, "distil"))


def test_plan_without_a_teachers_loss_needs_no_teacher(tmp_path: Path) -> None:
    plan = plan_of(HEAD + "filters = 0.5\ndistillation = 0", tmp_path)
    assert "teacher" not in plan.nodes["pruned/distil"].inputs
    plan = plan_of(HEAD + "filters = 0.5\ndistillation = 0\ntransfer = 'attention'", tmp_path)
    assert plan.nodes["pruned/distil"].inputs["teacher"] == "trained/train"


def test_plan_teacher_of_another_recipe_is_trained_as_it_would_be_by_itself(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "net.py").write_text("from models.architectures.resnet import resnet20 as make\n")
    (tmp_path / "big" / "wide.toml").write_text('factory = "net.py:make"\ndata = "digits"\nseed = 3\n')
    shrinks = [f"name = '{name}'\nfilters = 0.5\nteacher = 'big/wide.toml'\n" for name in ("a", "b")]
    plan = plan_of(HEAD + "[[shrink]]\n".join(shrinks), tmp_path)
    teachers = [node for node in plan.nodes.values() if node.variant == "teacher wide"]
    assert [node.id for node in teachers] == ["teacher wide/train"]
    alone = make_plan(read_recipe(str(tmp_path / "big" / "wide.toml"), tmp_path), plan.target)
    assert teachers[0].fingerprint == alone.nodes["trained/train"].fingerprint
    for name in ("a", "b"):
        node = plan.nodes[f"{name}/distil"]
        assert node.inputs["teacher"] == "teacher wide/train"
        assert node.parameters["teacher"]["factory"] == "net.py:make"
        assert node.folders == {"recipe": tmp_path.resolve(), "teacher": (tmp_path / "big").resolve()}
    assert set(plan.nodes["a/bundle"].parameters["origin"]["steps"]) >= {"train", "teacher wide/train"}
    # Another source of the teacher is another teacher, and another student.
    (tmp_path / "big" / "net.py").write_text("from models.architectures.resnet import resnet8 as make\n")
    code_of_source.cache_clear()
    changed = make_plan(plan.recipe, plan.target)
    assert changed.nodes["a/distil"].fingerprint != plan.nodes["a/distil"].fingerprint
    assert changed.nodes["a/prune"].fingerprint == plan.nodes["a/prune"].fingerprint


def test_plan_student_is_exported_as_what_it_is(tmp_path: Path) -> None:
    keys = "student = 'models.architectures.resnet:resnet20'\nstudent_arguments = { widths = [8, 8, 16] }\n"
    plan = plan_of(HEAD + keys, tmp_path)
    for id_ in ("pruned/student", "pruned/export", "pruned/check", "pruned+int8/check"):
        network = plan.nodes[id_].parameters["network"]
        assert (network["factory"], network["arguments"]) == (
            "models.architectures.resnet:resnet20", {"widths": [8, 8, 16]}
        )  # fmt: skip
    assert plan.nodes["trained/export"].parameters["network"]["factory"].endswith("resnet8")
    assert plan.nodes["pruned/student"].parameters["teacher"]["factory"].endswith("resnet8")


def test_plan_variants_that_share_rounds_share_fingerprints(tmp_path: Path) -> None:
    recipe = HEAD + "name = 'a'\nfilters = 0.5\n[[shrink]]\nname = 'b'\nfilters = 0.5\ndistillation = 0\n"
    plan = plan_of(recipe, tmp_path)
    assert plan.nodes["a/prune"].fingerprint == plan.nodes["b/prune"].fingerprint
    assert plan.nodes["a/distil"].fingerprint != plan.nodes["b/distil"].fingerprint


def test_plan_checks_what_was_shrunk_against_the_base(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, tmp_path)
    assert set(plan.nodes["trained/check"].inputs) == {"network", "float"}
    assert plan.nodes["pruned+int8/check"].inputs == {
        "network": "pruned/distil", "float": "pruned/export", "base": "trained/export",
        "quantised": "pruned+int8/quantise",
    }  # fmt: skip


def test_plan_takes_precisions_alignment_and_int8_settings_from_the_target(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "board.toml").write_text(
        'alignment = 4\n[[runtime]]\nname = "onnxruntime"\nopset = 18\nprecisions = ["float32"]\n'
    )
    plan = plan_of(RECIPE, tmp_path, "board")
    assert [variant.name for variant in plan.variants] == ["trained", "pruned"]
    assert plan.nodes["pruned/prune"].parameters["alignment"] == 4
    assert plan.nodes["pruned/export"].parameters["opset"] == 18
    (tmp_path / "targets" / "board.toml").write_text(
        '[[runtime]]\nname = "onnxruntime"\nint8 = { activations = "int8" }\n'
    )
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
    for target in target_files(tmp_path):
        kind = read_target(target, tmp_path)
        plan = make_plan(read_recipe(model, tmp_path), kind)
        precisions = sum(len(runtime.precisions) for runtime in kind.runtime)
        assert len(plan.variants) == precisions * (1 + len(plan.recipe.shrink) - len(plan.skipped))
        assert [variant.name for variant in plan.variants if variant.parent is None] == ["trained"]


BOARD = """\
[[runtime]]
name = "litert"
precisions = ["float32", "int8", "float16", "dynamic"]
[[runtime]]
name = "tflite-runtime"
precisions = ["float32", "dynamic"]
[[runtime]]
name = "onnxruntime"
format = "ort"
[[runtime]]
name = "torch"
source = "device"
format = "pt2"
precisions = ["float32"]
"""


def _board(tmp_path: Path) -> Plan:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "board.toml").write_text(BOARD)
    return plan_of(RECIPE, tmp_path, "board")


def test_plan_builds_every_runtime_in_its_own_format(tmp_path: Path) -> None:
    plan = _board(tmp_path)
    found = {variant.name: (variant.runtime.name, variant.precision, variant.parent) for variant in plan.variants}
    assert found == {
        "trained": ("litert", "float32", None),
        "int8": ("litert", "int8", "trained"),
        "float16": ("litert", "float16", "trained"),
        "dynamic": ("litert", "dynamic", "trained"),
        "trained@tflite-runtime": ("tflite-runtime", "float32", "trained"),
        "dynamic@tflite-runtime": ("tflite-runtime", "dynamic", "trained@tflite-runtime"),
        "trained@onnxruntime": ("onnxruntime", "float32", "trained"),
        "int8@onnxruntime": ("onnxruntime", "int8", "trained@onnxruntime"),
        "trained@torch": ("torch", "float32", "trained"),
        "pruned": ("litert", "float32", "trained"),
        "pruned+int8": ("litert", "int8", "pruned"),
        "pruned+float16": ("litert", "float16", "pruned"),
        "pruned+dynamic": ("litert", "dynamic", "pruned"),
        "pruned@tflite-runtime": ("tflite-runtime", "float32", "trained@tflite-runtime"),
        "pruned+dynamic@tflite-runtime": ("tflite-runtime", "dynamic", "pruned@tflite-runtime"),
        "pruned@onnxruntime": ("onnxruntime", "float32", "trained@onnxruntime"),
        "pruned+int8@onnxruntime": ("onnxruntime", "int8", "pruned@onnxruntime"),
        "pruned@torch": ("torch", "float32", "trained@torch"),
    }
    steps = {node.id: node.step for node in plan.nodes.values()}
    assert steps["pruned+int8/quantise"] == "tflite_quantise"
    assert steps["pruned+int8@onnxruntime/ort"] == "ort"
    assert steps["pruned@torch/export"] == "torch_export"
    assert plan.nodes["pruned+int8/check"].inputs == {
        "network": "pruned/distil", "float": "pruned/export", "base": "trained/export",
        "quantised": "pruned+int8/quantise",
    }  # fmt: skip
    assert plan.nodes["pruned@onnxruntime/check"].inputs["base"] == "trained@onnxruntime/export"


def test_plan_gives_tflite_runtime_the_dynamic_range_that_it_reads_right(tmp_path: Path) -> None:
    plan = _board(tmp_path)
    asked = {
        node.id: node.parameters["per_tensor_linear"] for node in plan.nodes.values() if node.step == "tflite_quantise"
    }
    assert asked["dynamic@tflite-runtime/quantise"] is True
    assert asked["dynamic/quantise"] is asked["int8/quantise"] is False


def test_plan_of_one_network_in_two_runtimes_of_one_format_shares_the_work(tmp_path: Path) -> None:
    plan = _board(tmp_path)
    one, other = plan.nodes["trained/export"], plan.nodes["trained@tflite-runtime/export"]
    assert one.fingerprint == other.fingerprint


def test_plan_without_a_runtime_says_so_and_takes_the_next_for_the_base(tmp_path: Path) -> None:
    whole = _board(tmp_path)
    plan = make_plan(whole.recipe, whole.target, without={"litert": "no wheel for Python 3.8"})
    assert plan.skipped == {"litert": "no wheel for Python 3.8"}
    assert [variant.name for variant in plan.variants if variant.parent is None] == ["trained"]
    assert plan.variants[0].runtime.name == "tflite-runtime"
    assert not [variant.name for variant in plan.variants if variant.name.endswith("@tflite-runtime")]


def test_plan_runs_tensorrt_in_float16_from_the_float_file(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, tmp_path, "jetson")
    assert plan.nodes["float16/bundle"].inputs["model"] == "trained/export"
    assert plan.nodes["float16/bundle"].parameters["precision"] == "float16"
    assert plan.nodes["float16/check"].fingerprint == plan.nodes["trained/check"].fingerprint
