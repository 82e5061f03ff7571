"""Fingerprints: all that can change a result changes them, and nothing else does."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.files import canonical_json
from pipeline import fingerprint as fingerprints
from pipeline.fingerprint import changes, code_of, fingerprint, libraries, libraries_of
from pipeline.plan import Plan, make_plan
from pipeline.recipe import read_recipe
from targets.schema import read_target
from tests.pipeline.conftest import ONNX

NET = "from blocks import BLOCKS\n\n\ndef make():\n    import torch\n\n    return torch.nn.Linear(BLOCKS, 10)\n"
RECIPE = 'factory = "net.py:make"\ndata = "digits"\n[[shrink]]\nfilters = 0.5\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A recipe with a factory of its own that imports a file beside it."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "mine.toml").write_text(RECIPE)
    (folder / "net.py").write_text(NET)
    (folder / "blocks.py").write_text("BLOCKS = 64\n")
    return tmp_path


def _plan(root: Path) -> Plan:
    # Sources are read once in a process; here they change under it.
    fingerprints._read.cache_clear()
    return make_plan(read_recipe("mine", root), read_target(ONNX, root))


def _prints(root: Path) -> dict[str, str]:
    return {id_: node.fingerprint for id_, node in _plan(root).nodes.items()}


@pytest.fixture
def copied(tmp_path: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's own sources, which tests may change, in the place of the real ones."""
    copy = tmp_path / "copy"
    for name in fingerprints.PACKAGES:
        shutil.copytree(project_root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    monkeypatch.setattr(fingerprints, "ROOT", copy)
    return copy


def _code(copy: Path, step: str) -> dict[str, str]:
    fingerprints._read.cache_clear()
    return code_of(copy / "pipeline" / "steps" / f"{step}.py")


def _edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    assert change(before) != before
    path.write_text(change(before))


def test_code_comments_docstrings_and_layout_do_not_count(copied: Path) -> None:
    before = _code(copied, "train")
    for path in (copied / "pipeline/steps/train.py", copied / "pipeline/training/loop.py"):
        _edit(path, lambda text: '"""Another docstring."""\n# a comment\n\n\n' + text[text.index("from __future__") :])
        _edit(path, lambda text: text.replace("import torch\n", "import torch  # why\n\n"))
    assert _code(copied, "train") == before


@pytest.mark.parametrize(
    ("step", "module"),
    [
        ("train", "pipeline/steps/train.py"), ("train", "pipeline/training/loop.py"),
        ("train", "pipeline/steps/base.py"),
        ("distil", "pipeline/distillation/transfer.py"), ("prune", "pipeline/pruning/selection.py"),
        ("export", "pipeline/export/lean.py"), ("quantise", "pipeline/quantization/static.py"),
        ("check", "pipeline/export/compare.py"), ("bundle", "device_agents/bundle.py"),
        ("samples", "models/data/parts.py"), ("prune", "pipeline/pruning/__init__.py"),
    ],
)  # fmt: skip
def test_code_change_at_any_depth_counts(copied: Path, step: str, module: str) -> None:
    before = _code(copied, step)
    _edit(copied / module, lambda text: text + "\nCHANGED = 1\n")
    after = _code(copied, step)
    assert {name for name in after if before.get(name) != after[name]} == {module}


@pytest.mark.parametrize(
    ("step", "module"),
    [
        ("train", "pipeline/steps/quantise.py"), ("train", "pipeline/steps/prune.py"),
        ("train", "pipeline/export/lean.py"), ("samples", "pipeline/training/loop.py"),
        ("quantise", "pipeline/steps/train.py"), ("export", "pipeline/steps/check.py"),
        ("train", "edgewright/progress.py"), ("train", "pipeline/build.py"), ("train", "pipeline/store.py"),
    ],
)  # fmt: skip
def test_code_change_elsewhere_does_not_count(copied: Path, step: str, module: str) -> None:
    before = _code(copied, step)
    _edit(copied / module, lambda text: text + "\nCHANGED = 1\n")
    assert _code(copied, step) == before


def test_code_that_is_no_python_still_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_bytes(b"def make(:\n\x00")
    assert set(code_of(tmp_path / "net.py", tmp_path)) == {"net.py"}


def test_code_of_a_users_package_follows_its_own_imports(tmp_path: Path, project_root: Path) -> None:
    package = tmp_path / "work" / "mypkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("from mypkg.layers import LAYERS\nfrom . import more\n")
    (package / "layers.py").write_text("LAYERS = 3\n")
    (package / "more.py").write_text("")
    (tmp_path / "recipes").mkdir()
    names = set(code_of(package / "net.py", tmp_path / "recipes"))
    assert names == {"mypkg/__init__.py", "mypkg/net.py", "mypkg/layers.py", "mypkg/more.py"}


def test_plan_users_factory_or_what_it_imports_changes_every_step_with_the_network(project: Path) -> None:
    before = _prints(project)
    (project / "models/blocks.py").write_text("BLOCKS = 32\n")
    after = _prints(project)
    assert {id_ for id_ in before if before[id_] == after[id_]} == {"shared/samples"}
    (project / "models/blocks.py").write_text("# as it was\nBLOCKS = 64\n")
    assert _prints(project) == before


def test_plan_in_another_folder_has_the_same_fingerprints(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "deeper"
    shutil.copytree(project, elsewhere)
    assert _prints(elsewhere) == _prints(project)


def test_plan_ingredients_hold_no_path_of_this_machine(project: Path, project_root: Path) -> None:
    for node in _plan(project).nodes.values():
        text = canonical_json(node.ingredients).decode()
        for place in (str(project), str(project_root), str(Path.home()) + "/"):
            assert place not in text


def test_plan_parameter_changes_the_steps_it_reaches_and_no_other(project: Path) -> None:
    before = _prints(project)
    (project / "models/mine.toml").write_text(RECIPE + "epochs = 9\n")
    after = _prints(project)
    changed = {id_ for id_ in before if before[id_] != after[id_]}
    assert changed == {id_ for id_ in before if id_.startswith("pruned") and id_ != "pruned/prune"}


def test_plan_seed_changes_every_step_with_the_network(project: Path) -> None:
    before = _prints(project)
    (project / "models/mine.toml").write_text("seed = 3\n" + RECIPE)
    after = _prints(project)
    assert {id_ for id_ in before if before[id_] == after[id_]} == {"shared/samples"}


def test_plan_library_version_changes_the_steps_that_use_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _plan(project)
    real = importlib.metadata.version
    monkeypatch.setattr(fingerprints, "version", lambda name: "99" if name == "onnxscript" else real(name))
    after = _plan(project)
    changed = {id_ for id_, node in before.nodes.items() if node.fingerprint != after.nodes[id_].fingerprint}
    assert "trained/export" in changed
    assert not any(before.nodes[id_].step in ("train", "prune", "distil", "samples") for id_ in changed)
    lines = changes(before.nodes["trained/export"].ingredients, after.nodes["trained/export"].ingredients)
    assert lines == [f"libraries.onnxscript: {real('onnxscript')} > 99"]


def test_plan_data_digest_or_the_code_that_cuts_the_parts_changes_every_step_with_data(
    project: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.data import digits

    before = _prints(project)
    with monkeypatch.context() as patch:
        patch.setattr(digits, "digest", lambda: "other")
        assert not set(_prints(project).values()) & set(before.values())
    assert _prints(project) == before
    _edit(copied / "models/data/digits.py", lambda text: text.replace("slice(0, 360)", "slice(0, 300)"))
    assert not set(_prints(project).values()) & set(before.values())


def test_plan_users_weights_loss_metric_and_loader_count(project: Path) -> None:
    models = project / "models"
    (models / "own.py").write_text("def loss(o, t): ...\n\n\ndef metric(o, t): ...\n\n\ndef load(): ...\n")
    (models / "w.safetensors").write_bytes(b"1")
    (models / "mine.toml").write_text(
        'factory = "net.py:make"\ndata = "own.py:load"\nweights = "w.safetensors"\n[metric]\nname = "own.py:metric"\n'
        '[train]\nloss = "own.py:loss"\n'
    )
    before = _plan(project)
    keys = {"factory", "data", "metric", "loss"}
    assert keys <= set(before.nodes["trained/train"].ingredients)
    (models / "w.safetensors").write_bytes(b"2")
    after = _plan(project)
    lines = changes(before.nodes["trained/train"].ingredients, after.nodes["trained/train"].ingredients)
    assert [line.split(":")[0] for line in lines] == ["parameters.weights_sha256"]
    (models / "own.py").write_text("def loss(o, t): ...\n\n\ndef metric(o, t): return 1\n\n\ndef load(): ...\n")
    assert _plan(project).nodes["shared/samples"].fingerprint != after.nodes["shared/samples"].fingerprint


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_libraries_name_python_and_what_is_missing() -> None:
    found = libraries(["pytest", "edgewright-no-such-library"])
    assert found["pytest"] == pytest.__version__
    assert found["edgewright-no-such-library"] == "none"
    assert found["python"].count(".") == 1


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": {"b": 3}}, {"a": {"b": 6}}, ["a.b: 3 > 6"]),
        ({"a": 1}, {"a": 1, "b": 2}, ["b: nothing > 2"]),
        ({"a": 1, "b": 2}, {"a": 1}, ["b: 2 > nothing"]),
        ({"a": "0" * 64}, {"a": "f" * 64}, ["a: 000000000000 > ffffffffffff"]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
    ],
)
def test_changes_name_what_differs(old: Any, new: Any, lines: list[str]) -> None:
    assert changes(old, new) == lines
    assert changes(json.loads(json.dumps(old)), new) == lines


def test_libraries_of_a_factory_are_those_that_it_and_its_files_import(project: Path) -> None:
    (project / "models" / "blocks.py").write_text("import os.path\nimport no_such_library\nBLOCKS = 64\n")
    fingerprints._read.cache_clear()
    found = libraries_of(project / "models" / "net.py", project / "models")
    assert set(found) == {"python", "torch"}
    assert found["torch"] == importlib.metadata.version("torch")


def test_another_version_of_a_factorys_library_trains_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest stands for what no step of ours imports, as transformers does for some factories."""
    (project / "models" / "blocks.py").write_text("import pytest\nBLOCKS = 64\n")
    before = _prints(project)
    real = importlib.metadata.version
    monkeypatch.setattr(fingerprints, "version", lambda name: "9.9" if name == "pytest" else real(name))
    after = _prints(project)
    assert after["trained/train"] != before["trained/train"]
    assert after["shared/samples"] == before["shared/samples"]
