"""Networks as steps pass them on: what a user's factory or weights may get wrong is told, what fits is kept exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file
from torch import nn

from models.architectures.resnet import resnet8, resnet20
from pipeline import network
from pipeline.locate import NotFound
from pipeline.network import BadNetwork
from pipeline.pruning.plan import Cut, PlanMismatch, PruningPlan, Rows, replay
from pipeline.recipe import read_recipe
from pipeline.steps.base import NetworkSpec
from tests.pipeline import nets

OWN = """\
import torch
from torch import nn

def good(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def fails(): raise RuntimeError("no such device")
def nothing(): return None
def done(): return torch.ao.quantization.quantize_dynamic(good())
def wants(depth): return nn.Linear(depth, 2)

class Pair(nn.Module):
    def forward(self, x): return x, x

class Picky(nn.Module):
    def forward(self, x): raise ValueError("I want colour")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def _spec(name: str, **arguments: object) -> NetworkSpec:
    return NetworkSpec(factory=f"own.py:{name}", arguments=arguments, seed=4)


def test_original_is_seeded(folder: Path) -> None:
    one, two = (network.weights_of(network.original(_spec("good"), folder)) for _ in range(2))
    assert one == two
    other = network.original(NetworkSpec(factory="own.py:good", seed=5), folder)
    assert network.weights_of(other) != one


@pytest.mark.parametrize(
    ("spec", "kind", "says"),
    [
        (_spec("fails"), NotFound, "It raised RuntimeError: no such device"),
        (_spec("nothing"), BadNetwork, "returned NoneType, no torch module"),
        (_spec("done"), BadNetwork, "quantised already: 1"),
        (_spec("wants"), NotFound, "TypeError"),
        (_spec("wants", deep=3), NotFound, "TypeError"),
        (_spec("missing"), NotFound, "has no 'missing'"),
    ],
)
def test_original_of_a_bad_factory_names_it(folder: Path, spec: NetworkSpec, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        network.original(spec, folder)
    assert says in str(caught.value)
    assert spec.factory in str(caught.value)
    assert "next:" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"), [("Picky", "The forward pass failed: ValueError: I want colour"), ("Pair", "tuple, not one")]
)
def test_forward_that_fails_or_gives_no_tensor_is_named(folder: Path, name: str, says: str) -> None:
    net = network.original(_spec(name), folder)
    with pytest.raises(BadNetwork) as caught:
        network.forward(net, nets.pictures(), _spec(name))
    assert says in caught.value.what
    assert f"own.py:{name}" in caught.value.where


def test_forward_of_another_input_shape_names_the_shape(folder: Path) -> None:
    with pytest.raises(BadNetwork) as caught:
        network.forward(nets.make("flat"), torch.ones(2, 3, 8, 8), _spec("good"))
    assert "[2, 3, 8, 8] torch.float32" in caught.value.where


def test_keep_and_load_give_the_same_bytes_again(tmp_path: Path) -> None:
    net = nets.make("resnet")
    network.keep(net, PruningPlan(), tmp_path)
    other = nets.make("resnet", seed=9)
    assert network.weights_of(other) != network.weights_of(net)
    network.load_weights(other, tmp_path / network.WEIGHTS)
    assert network.weights_of(other) == network.weights_of(net) == (tmp_path / network.WEIGHTS).read_bytes()


def test_keep_writes_shared_weights_under_each_name(tmp_path: Path) -> None:
    linear = nn.Linear(4, 4)
    net = nn.Sequential(linear, linear)
    network.keep(net, PruningPlan(), tmp_path)
    assert {"0.weight", "1.weight"} <= set(load((tmp_path / network.WEIGHTS).read_bytes()))
    other = nn.Linear(4, 4)
    network.load_weights(nn.Sequential(other, other), tmp_path / network.WEIGHTS)
    assert torch.equal(other.weight, linear.weight)


@pytest.mark.parametrize("damage", ["missing", "shape", "extra", "cut", "text", "gone"])
def test_load_weights_that_do_not_fit_names_the_tensor_and_changes_nothing(tmp_path: Path, damage: str) -> None:
    net = nets.make("flat")
    tensors = {key: value + 1 for key, value in net.state_dict().items()}
    path = tmp_path / "w.safetensors"
    says = "can't be read"
    if damage == "missing":
        del tensors["hidden.bias"]
        says = "lack 'hidden.bias'"
    elif damage == "shape":
        tensors["hidden.bias"] = torch.ones(31)
        says = "'hidden.bias' has the shape [31], the network wants [32]"
    elif damage == "extra":
        tensors["hidden.more"] = torch.ones(1)
        says = "hold 'hidden.more', which the network lacks"
    save_file(tensors, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "text":
        path.write_text("these are no weights")
    elif damage == "gone":
        path.unlink()
    before = network.weights_of(net)
    with pytest.raises(BadNetwork) as caught:
        network.load_weights(net, path)
    assert says in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.remedy
    assert network.weights_of(net) == before


def test_measure_counts_by_hand() -> None:
    # conv1: 8x8 outputs x 16 x 9; conv2: 4x4 x 24 x 16 x 9; hidden: 384 x 32; head: 32 x 10
    macs = 64 * 16 * 9 + 16 * 24 * 16 * 9 + 384 * 32 + 32 * 10
    params = 16 * 10 + 24 * (16 * 9 + 1) + 32 * (384 + 1) + 10 * 33
    assert network.measure(nets.make("flat"), nets.pictures(1)) == network.Size(params, macs)


def test_measure_of_the_shipped_networks_is_what_they_say() -> None:
    x = torch.zeros(1, 1, 28, 28)
    assert network.measure(resnet8(), x).params == 77_754
    assert network.measure(resnet20(), x).params == 272_186


def test_shipped_weights_fit_their_recipe(tmp_path: Path) -> None:
    recipe = read_recipe("resnet8", tmp_path)
    assert recipe.weights is not None
    spec = NetworkSpec(factory=recipe.factory, arguments=recipe.arguments, seed=recipe.seed)
    net = network.original(spec, recipe.folder)
    before = network.weights_of(net)
    path = recipe.folder / recipe.weights
    network.load_weights(net, path)
    assert network.weights_of(net) != before
    assert path.stat().st_size < 2_000_000


def test_rebuilt_of_another_architecture_names_what_does_not_fit(tmp_path: Path) -> None:
    net = nets.make("resnet")
    plan = PruningPlan([Cut("blocks.0.conv1.weight", 0, tuple(range(8)), 16)])
    network.keep(net, plan, tmp_path)
    spec = NetworkSpec(factory="own.py:make")
    (tmp_path / "own.py").write_text("from tests.pipeline.nets import Flat as make\n")
    with pytest.raises(PlanMismatch, match=r"blocks\.0\.conv1") as caught:
        network.rebuilt(spec, tmp_path, Folder(tmp_path))
    assert caught.value.remedy
    (tmp_path / network.PLAN).write_text('{"schema": "edgewright-pruning/1", "actions": []}')
    with pytest.raises(PlanMismatch, match="edgewright-pruning/1"):
        network.rebuilt(spec, tmp_path, Folder(tmp_path))


def test_rebuilt_keeps_tied_weights_tied_and_dropped_rows_dropped(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(WORDS)
    spec = NetworkSpec(factory="own.py:make")
    net = network.original(spec, tmp_path)
    cuts = [
        Cut(tensor, axis, (1, 2), 4) for tensor, axis in (("hidden.weight", 0), ("hidden.bias", 0), ("last.weight", 1))
    ]
    plan = PruningPlan([Rows("words", (0, 3, 5), 9, 0), *cuts])
    replay(plan, net)
    with torch.no_grad():
        net.get_parameter("hidden.bias").add_(0.5)
    network.keep(net, plan, tmp_path)
    again, taken = network.rebuilt(spec, tmp_path, Folder(tmp_path))
    assert taken == plan
    hidden, twin = again.get_submodule("hidden"), again.get_submodule("twin")
    assert hidden.weight is twin.weight and hidden.bias is twin.bias
    ids = torch.tensor([[0, 3, 5, 7]])
    assert torch.equal(again(ids), net.eval()(ids))
    assert network.weights_of(again) == network.weights_of(net)


WORDS = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.hidden, self.twin = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.twin.weight, self.twin.bias = self.hidden.weight, self.hidden.bias
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = self.words(x).mean(1)
        return self.last(self.hidden(x) + self.twin(x))


def make(): return Net()
"""


@dataclass(frozen=True)
class Folder:
    """A step's files in a folder, as an input."""

    folder: Path
    summary: Mapping[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / name
