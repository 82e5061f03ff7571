"""Builds: what is there is not made again, what is killed goes on, what fails leaves nothing half-made."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.build import Builder, Done, FloorTooHigh, StepFailed, bundle_folder, reason
from pipeline.plan import Plan
from pipeline.steps.checking import CheckFailed
from pipeline.store import CorruptArtifact, Store
from pipeline.training import FloorOutOfReach
from tests.pipeline.conftest import RECIPE, Built, builder_of, plan_of, wanted

Make = Callable[[str], tuple[Plan, Builder]]

# Seconds of work, so that a kill can fall into it.
SLOW = RECIPE.replace("epochs = 6", "epochs = 60")

BUILD = """
import json, sys
from pathlib import Path
from tests.pipeline.conftest import builder_of, plan_of

folder = Path(sys.argv[1])
plan = plan_of((folder / "recipe" / "small.toml").read_text(), folder / "recipe")
builder = builder_of(plan, folder)
builder.note = lambda line: print("note", line, flush=True)
print("begins", flush=True)
done = builder.build(plan, sys.argv[2:])
print(json.dumps({id_: [one.cached, one.artifact.digest] for id_, one in done.items()}), flush=True)
"""


def _process(project_root: Path, folder: Path, *nodes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(folder), *nodes]
    return subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_checkpoint(process: subprocess.Popen[str], folder: Path, plan: Plan) -> Path:
    checkpoint = folder / "store" / "work" / plan.nodes["trained/train"].fingerprint / "checkpoint.safetensors"
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    return checkpoint


def _digests(done: dict[str, Done]) -> dict[str, str]:
    return {id_: one.artifact.digest for id_, one in done.items() if one.artifact is not None}


def test_build_makes_every_variant_and_says_so(built: Built) -> None:
    assert all(one.artifact is not None and one.trouble is None and not one.cached for one in built.done.values())
    assert list(built.done) == [node.id for node in built.plan.needed_for(wanted(built.plan))]
    assert built.store.broken() == []
    assert not any(built.store.work.iterdir())
    assert not any(path.name != "store" for path in built.store.locks.iterdir())


def test_build_again_makes_nothing(built: Built) -> None:
    said: list[Done] = []
    builder = Builder(built.store, built.places, builder_of(built.plan, built.store.folder).progress, said.append)
    done = builder.build(built.plan, wanted(built.plan))
    assert all(one.cached for one in done.values())
    assert [one.node.id for one in said] == list(done)
    assert _digests(done) == _digests(built.done)


def test_build_with_nothing_to_do_imports_no_framework(built: Built, project_root: Path, tmp_path: Path) -> None:
    shutil.copytree(built.plan.recipe.folder, tmp_path / "recipe")
    shutil.copytree(built.store.folder, tmp_path / "store")
    script = BUILD + "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *wanted(built.plan)],
        cwd=project_root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    begins, made, modules = done.stdout.splitlines()
    assert begins == "begins"
    assert all(cached for cached, _ in json.loads(made).values())
    heavy = {"torch", "tensorflow", "onnx", "onnxruntime", "onnxscript", "sklearn", "torch_pruning", "safetensors"}
    assert heavy & set(json.loads(modules)) == set()


def test_build_makes_only_what_is_wanted(in_folder: Make) -> None:
    plan, builder = in_folder(RECIPE)
    assert list(builder.build(plan, [plan.samples])) == ["shared/samples"]
    assert [artifact.node for artifact in builder.store.all()] == ["shared/samples"]


def test_build_after_a_change_makes_only_what_it_touches(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.store.folder, tmp_path / "store")
    plan = plan_of(RECIPE.replace('name = "pruned"', 'name = "thin"\ntemperature = 2.0'), tmp_path / "recipe")
    done = builder_of(plan, tmp_path).build(plan, ["thin/distil"])
    # Its name is no ingredient: the pruned network is the one that is there.
    assert {id_: one.cached for id_, one in done.items()} == {
        "trained/train": True, "thin/prune": True, "thin/distil": False,
    }  # fmt: skip


def test_reason_names_what_changed(built: Built, tmp_path: Path) -> None:
    assert reason(built.store, built.plan.nodes["trained/train"], built.plan) == []
    assert reason(Store(tmp_path / "none"), built.plan.nodes["trained/train"], built.plan) == ["never made"]
    plan = plan_of(RECIPE.replace("epochs = 6", "epochs = 7"), tmp_path / "recipe")
    assert reason(built.store, plan.nodes["trained/train"], plan) == ["parameters.schedule.epochs: 6 > 7"]
    assert reason(built.store, plan.nodes["trained/export"], plan) == ["its input trained/train is made anew"]
    assert reason(built.store, plan.nodes["shared/samples"], plan) == []


def test_reason_tells_that_files_are_gone(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.store.folder, tmp_path / "store")
    store = Store(tmp_path / "store")
    shutil.rmtree(store.objects)
    assert reason(store, built.plan.nodes["trained/train"], built.plan) == ["its files are gone from the store"]


def test_build_meets_a_damaged_artifact_with_a_message_and_goes_on_once_it_is_dropped(
    built: Built, tmp_path: Path
) -> None:
    shutil.copytree(built.store.folder, tmp_path / "store")
    shutil.copytree(built.plan.recipe.folder, tmp_path / "recipe")
    plan, builder = built.plan, builder_of(built.plan, tmp_path)
    artifact = builder.store.find(plan.nodes["pruned/prune"].fingerprint)
    assert artifact is not None
    place = artifact.path("weights.safetensors")
    place.chmod(0o644)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    builder.store.remove(plan.nodes["pruned/distil"].fingerprint)
    with pytest.raises(CorruptArtifact) as caught:
        builder.build(plan, wanted(plan))
    assert caught.value.where.startswith("pruned/distil: ")
    assert "store.verify --remove" in caught.value.remedy
    for fingerprint, _ in builder.store.broken():
        builder.store.drop_broken(fingerprint)
    done = builder.build(plan, wanted(plan))
    assert {id_ for id_, one in done.items() if not one.cached} == {"pruned/prune", "pruned/distil"}
    assert _digests(done) == _digests(built.done)


def test_build_failed_check_takes_only_its_own_variant_down(in_folder: Make) -> None:
    plan, builder = in_folder(RECIPE + "[check]\nmetric_drop = 0.0\nagreement = 1.0\nfloat_difference = 1e-12\n")
    done = builder.build(plan, ["trained/bundle", "int8/quantise", plan.samples])
    trouble = done["trained/check"].trouble
    assert isinstance(trouble, CheckFailed)
    assert trouble.where.startswith("trained/check: ")
    assert done["trained/bundle"].artifact is None
    assert done["trained/bundle"].trouble is trouble
    assert done["int8/quantise"].artifact is not None
    assert builder.store.find(plan.nodes["trained/check"].fingerprint) is None


def test_build_without_room_says_so_and_goes_on_afterwards(in_folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, builder = in_folder(RECIPE)

    def full(*arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(builder.store, "commit", full)
        with pytest.raises(StepFailed, match="No space left on device") as caught:
            builder.build(plan, [plan.samples])
    assert caught.value.where == "shared/samples"
    assert "make room" in caught.value.remedy
    assert list(builder.store.all()) == []
    assert not builder.build(plan, [plan.samples])[plan.samples].cached


def test_build_users_code_that_raises_ends_in_a_message_with_the_traceback_in_a_file(in_folder: Make) -> None:
    plan, builder = in_folder(RECIPE)
    (plan.recipe.folder / "own.py").write_text("def loss(outputs, targets):\n    return outputs.no_such_thing()\n")
    plan, builder = in_folder(RECIPE.replace("[train]", '[train]\nloss = "own.py:loss"'))
    with pytest.raises(StepFailed, match=r"AttributeError: .*no_such_thing") as caught:
        builder.build(plan, ["trained/train"])
    assert caught.value.where.startswith("trained/train")
    file = Path(caught.value.where.partition("traceback: ")[2].rstrip(")"))
    assert "own.py" in file.read_text()
    assert list(builder.store.all()) == []


def test_bundle_folder_has_the_real_names_and_replaces_what_was_there(built: Built, tmp_path: Path) -> None:
    from device_agents.bundle import read_bundle

    artifact = built.artifact("pruned+int8/bundle")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text("{}")
    bundle = read_bundle(bundle_folder(artifact, tmp_path / "b"))
    assert bundle.digest == artifact.summary["digest"]
    assert bundle.manifest.precision == "int8"


@pytest.mark.slow
def test_build_by_two_processes_is_made_by_one_and_found_by_the_other(tmp_path: Path, project_root: Path) -> None:
    plan = plan_of(SLOW, tmp_path / "recipe")
    asked = project_root, tmp_path, "trained/train"
    with _process(*asked) as first:
        _wait_for_checkpoint(first, tmp_path, plan)
        os.kill(first.pid, signal.SIGSTOP)  # a busy machine may start the other one when all is done
        with _process(*asked) as second:
            assert second.stdout is not None
            said = []
            try:
                for line in second.stdout:
                    said.append(line)
                    if "another process is making trained/train" in line:
                        break
            finally:
                os.kill(first.pid, signal.SIGCONT)
            outputs = [process.communicate(timeout=500) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    made, found = (json.loads(out.splitlines()[-1])["trained/train"] for out, _ in outputs)
    assert (made[0], found[0]) == (False, True)
    assert made[1] == found[1]
    assert "another process is making trained/train" in said[-1]


@pytest.mark.slow
def test_build_killed_in_mid_step_goes_on_to_the_same_digests(tmp_path: Path, project_root: Path) -> None:
    nodes = ("trained/train", "pruned/distil")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        plan = plan_of(SLOW, folder / "recipe")
    undisturbed = builder_of(plan_of(SLOW, whole / "recipe"), whole).build(plan, [*nodes])
    with _process(project_root, cut, *nodes) as process:
        checkpoint = _wait_for_checkpoint(process, cut, plan)
        time.sleep(0.1)  # some epochs on, in the midst of one
        os.kill(process.pid, signal.SIGKILL)
    builder = builder_of(plan, cut)
    assert list(builder.store.all()) == []
    assert checkpoint.exists()
    assert _digests(builder.build(plan, [*nodes])) == _digests(undisturbed)
    assert not any(builder.store.work.iterdir())


def test_floor_above_the_trained_network_is_told_before_any_pruning(in_folder: Make) -> None:
    strict = RECIPE.replace("epochs = 6", "epochs = 1").replace("[train]", "[metric]\nfloor = 0.999\n[train]")
    plan, builder = in_folder(strict)
    for _ in range(2):  # also where the trained network is in the store
        with pytest.raises(FloorTooHigh, match=r"reaches 0\.\d+ top-1 on validation, the floor is 0\.999") as caught:
            builder.build(plan, wanted(plan))
        assert caught.value.where.startswith("metric.floor in ")
        assert caught.value.exit_status == 3
    assert {artifact.node for artifact in builder.store.all()} == {"shared/samples", "trained/train"}
    # Who only trains gets the weights all the same.
    assert builder.build(plan, ["trained/train"])["trained/train"].artifact is not None


def test_floor_out_of_reach_takes_only_its_own_variant_down(in_folder: Make) -> None:
    hopeless = (
        "name = 'hopeless'\nblocks = 1.0\nfilters = 0.5\nepochs = 30\nlearning_rate = 1e-7\ndistillation = 0\n"
        "recalibrate = false\n"
    )
    head = RECIPE[: RECIPE.index("[[shrink]]")].replace("[train]", "[metric]\nfloor = 0.9\n[train]")
    plan, builder = in_folder(f"{head}[[shrink]]\n{hopeless}[[shrink]]\nname = 'fine'\nblocks = 1.0\nepochs = 1\n")
    done = builder.build(plan, ["hopeless/export", "fine/export"])
    trouble = done["hopeless/distil"].trouble
    assert isinstance(trouble, FloorOutOfReach)
    assert trouble.epoch < 30
    assert done["hopeless/export"].trouble is trouble
    assert done["fine/export"].artifact is not None
