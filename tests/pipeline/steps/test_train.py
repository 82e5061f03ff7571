"""The train step: from weights that a recipe names, and everything that a user's network or data may get wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgewright.errors import EdgewrightError
from pipeline.build import Builder
from pipeline.network import WEIGHTS
from pipeline.plan import Plan
from pipeline.steps.train import percent
from tests.pipeline.conftest import RECIPE, Built, plan_of

Make = Callable[[str], tuple[Plan, Builder]]
HEAD = 'data = "digits"\n[train]\nepochs = 1\nthreads = 1\n'
OWN_DATA = 'factory = "models.architectures.resnet:resnet8"\ndata = "own.py:load"\n[train]\nepochs = 1\nthreads = 1\n'


def _loader(body: str) -> str:
    return (
        "import numpy as np\n\n\ndef load():\n"
        "    x = np.random.default_rng(0).random((64, 1, 8, 8), np.float32)\n    y = np.arange(64) % 10\n"
        "    parts = {name: (x, y) for name in ('train', 'validation', 'test', 'calibration')}\n"
        f"    {body}\n    return parts\n"
    )


def test_train_step_learns_the_digits(built: Built) -> None:
    assert built.artifact("trained/train").summary["validation"] > 0.85


def test_train_step_takes_the_weights_that_the_recipe_names(built: Built, tmp_path: Path, in_folder: Make) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    trained = built.artifact("trained/train").path(WEIGHTS)
    (folder / "w.safetensors").write_bytes(trained.read_bytes())
    plan, builder = in_folder('weights = "w.safetensors"\n' + RECIPE)
    artifact = builder.build(plan, ["trained/train"])["trained/train"].artifact
    assert artifact is not None
    assert artifact.path(WEIGHTS).read_bytes() == trained.read_bytes()
    assert "from w.safetensors" in artifact.summary["figure"]


@pytest.mark.parametrize("damage", ["shape", "missing", "cut"])
def test_train_step_refuses_weights_that_do_not_fit(built: Built, tmp_path: Path, in_folder: Make, damage: str) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    tensors = load_file(built.artifact("trained/train").path(WEIGHTS))
    if damage == "shape":
        tensors["head.weight"] = torch.ones(3, 16)
    elif damage == "missing":
        del tensors["head.weight"]
    save_file(tensors, folder / "w.safetensors")
    if damage == "cut":
        (folder / "w.safetensors").write_bytes((folder / "w.safetensors").read_bytes()[:-50])
    plan, builder = in_folder('weights = "w.safetensors"\n' + RECIPE)
    with pytest.raises(EdgewrightError) as caught:
        builder.build(plan, ["trained/train"])
    assert "w.safetensors" in str(caught.value)
    assert ("head.weight" in str(caught.value)) == (damage != "cut")
    assert "next:" in str(caught.value)
    assert list(builder.store.all()) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def make(): raise RuntimeError('out of luck')", "It raised RuntimeError: out of luck"),
        ("def make(): return 3", "The factory returned int, no torch module"),
        ("def other(): ...", "net.py has no 'make'"),
        ("import no_such_library_here", "ModuleNotFoundError"),
        ("from torch import nn\ndef make(): return nn.Linear(9, 10)", "The forward pass failed: RuntimeError"),
        (
            "from torch import nn\n\n\nclass Two(nn.Module):\n    def forward(self, x): return x, x\n"
            "def make(): return Two()",
            "The network gives tuple, not one tensor",
        ),
        (
            "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))",
            "run from 0 to 9, the network has 4 outputs",
        ),
        (
            "import torch\nfrom torch import nn\n\n\nclass Nan(nn.Module):\n    def __init__(self):\n"
            "        super().__init__()\n        self.a = nn.Linear(64, 10)\n"
            "    def forward(self, x): return self.a(x.flatten(1)) / 0 * 0\ndef make(): return Nan()",
            "The loss became nan in epoch 1, step 1",
        ),
        (
            "from torch import nn\n\n\nclass Late(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.a = nn.Linear(64, 10)\n    def forward(self, x):\n"
            "        if self.training: raise KeyError('only in training')\n        return self.a(x.flatten(1))\n"
            "def make(): return Late()",
            "KeyError: 'only in training'",
        ),
    ],
)
def test_train_step_tells_what_is_wrong_with_a_users_network(
    tmp_path: Path, in_folder: Make, source: str, says: str
) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "net.py").write_text(source + "\n")
    plan, builder = in_folder('factory = "net.py:make"\n' + HEAD)
    with pytest.raises(EdgewrightError) as caught:
        builder.build(plan, ["trained/train"])
    assert says in caught.value.what
    assert caught.value.where.startswith("trained/train")
    assert caught.value.remedy
    assert list(builder.store.all()) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("parts['train'] = (x, y + 1)", "'train' run from 1 to 10, the network has 10 outputs"),
        ("parts['validation'] = (x, y - 1)", "'validation' run from -1 to 8"),
        ("parts['train'] = (x, y * 0)", "only one class"),
        ("x[3, 0, 0, 0] = np.nan", "'train' hold NaN"),
        ("parts['calibration'] = (x[:, :, :4], y)", "'calibration' have the shape [1, 4, 8]"),
        ("parts['train'] = (x, y[:, None])", "have the shape [64, 1]"),
        ("parts['train'] = (x, y + 0.5)", "not class numbers"),
        ("del parts['test']", "lacks test"),
        ("parts = 1 / 0", "ZeroDivisionError"),
        ("return None", "returned NoneType"),
    ],
)
def test_train_step_tells_what_is_wrong_with_a_users_data(
    tmp_path: Path, in_folder: Make, body: str, says: str
) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "own.py").write_text(_loader(body))
    plan, builder = in_folder(OWN_DATA)
    with pytest.raises(EdgewrightError) as caught:
        builder.build(plan, ["trained/train"])
    assert says in caught.value.what
    assert "own.py:load" in caught.value.where
    assert caught.value.remedy
    assert list(builder.store.all()) == []


def test_train_step_nan_is_not_trained_further_and_a_mended_recipe_goes_on(tmp_path: Path, in_folder: Make) -> None:
    plan, builder = in_folder(RECIPE.replace("batch = 64", "batch = 64\nlearning_rate = 1e30"))
    with pytest.raises(EdgewrightError, match="The loss became"):
        builder.build(plan, [plan.samples, "trained/train"])
    assert [artifact.node for artifact in builder.store.all()] == ["shared/samples"]
    plan = plan_of(RECIPE.replace("epochs = 6", "epochs = 1"), tmp_path / "recipe")
    done = builder.build(plan, [plan.samples, "trained/train"])
    assert done[plan.samples].cached
    assert done["trained/train"].artifact is not None


@pytest.mark.parametrize(
    ("name", "value", "text"), [("top-1", 0.92249, "92.2 % top-1"), ("own.py:score", -3.14159, "-3.142 score")]
)
def test_percent_is_how_people_say_it(name: str, value: float, text: str) -> None:
    assert percent(name, value) == text
