"""A small recipe on the digits, planned and built once a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewright.progress import Silent
from pipeline.build import Builder, Done
from pipeline.plan import Plan, make_plan
from pipeline.recipe import read_recipe
from pipeline.steps.base import Places
from pipeline.store import Artifact, Store
from targets.schema import read_target

# The middle block keeps its shape, so one variant loses a block and channels both.
RECIPE = """\
factory = "models.architectures.resnet:resnet8"
arguments = { widths = [16, 16, 16], stem_stride = 2 }
data = "digits"

[train]
epochs = 6
batch = 64
threads = 1

[[shrink]]
name = "pruned"
blocks = 1.0
filters = 0.5
epochs = 2
"""


# A board that runs ONNX alone: these tests convert nothing to TFLite.
ONNX = str(Path(__file__).resolve().parents[1] / "onnx.toml")


def plan_of(recipe: str, folder: Path, target: str = ONNX) -> Plan:
    """The plan of a recipe's text, written into `folder` as small.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.toml"
    path.write_text(recipe)
    return make_plan(read_recipe(str(path), folder), read_target(target, folder))


def builder_of(plan: Plan, folder: Path) -> Builder:
    """A builder with a store and a cache in `folder`."""
    return Builder(Store(folder / "store"), Places(plan.recipe.folder, folder / "cache"), Silent())


def wanted(plan: Plan) -> list[str]:
    """What a deploy asks for."""
    return [plan.samples, *(variant.bundle for variant in plan.variants)]


@dataclass(frozen=True)
class Built:
    """A plan all of whose artifacts are in `store`."""

    plan: Plan
    store: Store
    places: Places
    done: dict[str, Done]

    def artifact(self, node: str) -> Artifact:
        found = self.done[node].artifact
        assert found is not None, self.done[node].trouble
        return found

    def inputs(self, node: str) -> dict[str, Artifact]:
        return {name: self.artifact(id_) for name, id_ in self.plan.nodes[node].inputs.items()}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The small recipe, built; read it, but leave its store as it is."""
    folder = tmp_path_factory.mktemp("built")
    plan = plan_of(RECIPE, folder / "recipe")
    builder = builder_of(plan, folder)
    return Built(plan, builder.store, builder.places, builder.build(plan, wanted(plan)))


@pytest.fixture
def in_folder(tmp_path: Path) -> Callable[[str], tuple[Plan, Builder]]:
    """Plans a recipe's text in this test's folder, with a builder over a store of its own."""

    def make(recipe: str) -> tuple[Plan, Builder]:
        plan = plan_of(recipe, tmp_path / "recipe")
        return plan, builder_of(plan, tmp_path)

    return make
