"""The distil step: who teaches, what a student becomes, which epoch is kept, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.bundle import MANIFEST, Manifest
from edgewright.errors import EdgewrightError
from pipeline import network
from pipeline.build import Builder
from pipeline.distillation.stages import NoStages
from pipeline.distillation.teachers import WrongTeacher
from pipeline.plan import Plan
from pipeline.steps.base import NetworkSpec
from pipeline.store import Artifact
from tests.pipeline.conftest import RECIPE

Make = Callable[[str], tuple[Plan, Builder]]
HEAD = RECIPE[: RECIPE.index("[[shrink]]")].replace("epochs = 6", "epochs = 2") + "[[shrink]]\nname = 'small'\n"
NARROW = "student = 'models.architectures.resnet:resnet8'\nstudent_arguments = {{ widths = [8, 8, 8], classes = {} }}\n"


def _net(plan: Plan, builder: Builder, node: str) -> tuple[float, dict[str, list[int]]]:
    artifact = builder.build(plan, [node])[node].artifact
    assert artifact is not None
    spec = NetworkSpec.model_validate(plan.nodes[node].parameters["network"])
    net, _ = network.rebuilt(spec, builder.places.recipe, artifact)
    return artifact.summary["validation"], {name: list(value.shape) for name, value in net.state_dict().items()}


def _manifest(bundle: Artifact) -> Manifest:
    return Manifest.model_validate_json(bundle.path(MANIFEST).read_bytes())


def test_student_of_another_architecture_learns_from_the_teacher(in_folder: Make) -> None:
    plan, builder = in_folder(HEAD.replace("epochs = 2", "epochs = 6") + NARROW.format(10) + "transfer = 'attention'\n")
    value, shapes = _net(plan, builder, "small/student")
    assert shapes["stem.weight"] == [8, 1, 3, 3]
    assert value > 0.5  # 10 classes


def test_another_recipes_network_teaches_with_its_own_factory_beside_it(tmp_path: Path, in_folder: Make) -> None:
    big = tmp_path / "recipe" / "big"
    big.mkdir(parents=True)
    (big / "net.py").write_text(
        "from models.architectures.resnet import resnet8\n\n\ndef make(): return resnet8(widths=[24, 24, 24])\n"
    )
    wide = HEAD[: HEAD.index("[[shrink]]")].replace("arguments", "#").replace(
        "models.architectures.resnet:resnet8", "net.py:make"
    )  # fmt: skip
    (big / "wide.toml").write_text(wide)
    plan, builder = in_folder(HEAD + "filters = 0.5\nteacher = 'big/wide.toml'\ntransfer = 'hint'\n")
    done = builder.build(plan, ["small/distil"])
    assert done["teacher wide/train"].artifact is not None
    assert done["small/distil"].artifact is not None


@pytest.mark.parametrize(
    ("keys", "kind", "says"),
    [
        (NARROW.format(4), WrongTeacher, "teacher of another task"),
        (
            "filters = 0.5\ntransfer = 'hint'\nstages = [['stem', 'no.such']]\n",
            NoStages,
            "'no.such' is no module of the teacher",
        ),
        ("filters = 0.5\nteacher = 'twelve.toml'\n", WrongTeacher, "it gives outputs [12], the student [10]"),
    ],
)
def test_wrong_teacher_or_stage_is_refused_before_any_training(
    tmp_path: Path, in_folder: Make, keys: str, kind: type[EdgewrightError], says: str
) -> None:
    (tmp_path / "recipe").mkdir()
    twelve = HEAD[: HEAD.index("[[shrink]]")].replace("stem_stride = 2", "stem_stride = 2, classes = 12")
    (tmp_path / "recipe" / "twelve.toml").write_text(twelve)
    plan, builder = in_folder(HEAD.replace("epochs = 2", "epochs = 10000") + keys)
    with pytest.raises(kind) as caught:
        builder.build(plan, [variant.bundle for variant in plan.variants])
    assert says in caught.value.what
    assert caught.value.where.startswith("small/")
    assert caught.value.remedy
    assert list(builder.store.all()) == []


def test_distil_keeps_the_best_epoch_and_says_so(in_folder: Make) -> None:
    plan, builder = in_folder(HEAD + "filters = 0.5\nepochs = 4\n")
    artifact = builder.build(plan, ["small/distil"])["small/distil"].artifact
    assert artifact is not None
    summary = artifact.summary
    metrics = [value for _, value in summary["history"]]
    assert len(metrics) == 4
    assert summary["validation"] == max(metrics)
    assert metrics[summary["best_epoch"] - 1] == max(metrics)


def test_weights_of_few_values_make_the_download_smaller_and_not_the_file(in_folder: Make) -> None:
    few = "[[shrink]]\nname = 'few'\nfilters = 0.5\nweight_bits = 4\n"
    plan, builder = in_folder(HEAD + "filters = 0.5\n" + few)
    nodes = {one.name: one.bundle for one in plan.variants if one.name in ("small+int8", "few+int8")}
    done = builder.build(plan, list(nodes.values()))
    found = {name: artifact for name, node in nodes.items() if (artifact := done[node].artifact)}
    small, made = (_manifest(found[name]) for name in ("small+int8", "few+int8"))
    assert made.bytes == pytest.approx(small.bytes, rel=0.01)
    assert made.download is not None and small.download is not None
    assert made.download < 0.75 * small.download
    assert (made.origin["check"]["weight_bits"], small.origin["check"].get("weight_bits")) == (4, None)
    trained = done["few/distil"].artifact
    assert trained is not None and "weights of 4 bits" in trained.summary["figure"]
