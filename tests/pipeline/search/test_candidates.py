"""Candidates are [[shrink]] tables of the recipe: names after what is removed, and what the recipe says of teaching."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.build import Builder, Done
from pipeline.export.to_tflite import NotConvertible
from pipeline.plan import Plan
from pipeline.pruning.sparsity import CantSparsify
from pipeline.quantization.qat import NothingToRound
from pipeline.recipe import read_recipe
from pipeline.search.candidates import SPOILT, Candidate, Trained, Workshop, by_way, inherited
from pipeline.search.light import Light
from pipeline.search.pricing import Way
from pipeline.search.space import Choice, find_space
from targets.schema import read_target
from tests.pipeline.conftest import ONNX
from tests.pipeline.nets import make, pictures
from tests.pipeline.search.conftest import WAYS

RECIPE = """\
factory = "models.architectures.resnet:resnet8"
arguments = { widths = [16, 16, 32], stem_stride = 1 }
data = "digits"

[[shrink]]
name = "pruned"
filters = 0.5
criterion = "l1"
temperature = 2.0
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    (tmp_path / "small.toml").write_text(RECIPE)
    recipe = read_recipe(str(tmp_path / "small.toml"), tmp_path)
    space = find_space(make("resnet"), (pictures(2),), 8)
    return Workshop(recipe, read_target(ONNX, tmp_path), space, cast(Builder, None))


def test_a_candidate_is_a_table_that_the_recipe_could_hold(workshop: Workshop) -> None:
    layer = workshop.space.layers[0]
    shrink = workshop.shrink(Candidate(7, Choice((layer,), (("blocks.2.conv1", 16),)), 3))
    assert (shrink.name, shrink.epochs, shrink.rounds) == ("c07-e3", 3, 1)
    assert (shrink.remove, shrink.widths) == ((layer,), {"blocks.2.conv1": 16})
    assert (shrink.criterion, shrink.temperature) == ("l1", 2.0)
    assert shrink.taught


def test_what_is_not_trained_is_taught_by_nobody(workshop: Workshop) -> None:
    space = replace(workshop.space, rows={"words": 10})
    shrink = replace(workshop, space=space).shrink(Candidate(1, Choice(), 0))
    assert (shrink.vocabulary, shrink.epochs, shrink.taught, shrink.criterion) == (True, 0, False, "l1")
    assert not {"temperature", "teacher", "learning_rate"} & shrink.model_fields_set


def test_deep_cuts_with_time_go_by_degrees(workshop: Workshop) -> None:
    deep = Candidate(1, Choice((), (("blocks.2.conv1", 8),)), 8)
    shrink = workshop.shrink(deep)
    assert (shrink.rounds, shrink.round_epochs, shrink.epochs) == (2, 2, 6)


def test_zeros_come_after_the_cut_has_healed(workshop: Workshop) -> None:
    shrink = workshop.shrink(Candidate(1, Choice((), (("blocks.2.conv1", 16),)), 6, Light(5, 0.75)))
    assert (shrink.name, shrink.zeros, shrink.weight_bits) == ("c01-e6-b5-z75", 0.75, 5)
    assert (shrink.round_epochs, shrink.epochs) == (3, 3)


def test_whole_network_with_zeros_has_nothing_to_heal(workshop: Workshop) -> None:
    shrink = workshop.shrink(Candidate(1, Choice(), 6, Light(5, 0.9)))
    assert (shrink.zeros, shrink.weight_bits, shrink.epochs, shrink.round_epochs) == (0.9, 5, 6, 1)
    plan = workshop.plan([Candidate(1, Choice(), 6, Light(5, 0.9))])
    trained = [node for node in plan.nodes.values() if node.step == "distil" and node.variant == "c01-e6-b5-z90"]
    assert [node.parameters["schedule"]["epochs"] for node in trained] == [6]


def test_network_that_has_nothing_to_zero_takes_only_its_own_candidate_down() -> None:
    assert {CantSparsify, NothingToRound} <= set(SPOILT)


def test_a_candidate_s_bundles_are_found_by_their_way(workshop: Workshop) -> None:
    candidate = Candidate(1, Choice((), (("blocks.2.conv1", 16),)), 1)
    plan = workshop.plan([candidate])
    ways = [Way("trained", "onnxruntime", "float32", 1, 1, 1), Way("int8", "onnxruntime", "int8", 1, 1, 1)]
    assert {way: one.name for way, one in by_way(plan, candidate.name, ways).items()} == {
        "trained": "c01-e1",
        "int8": "c01-e1+int8",
    }
    assert {way: one.name for way, one in by_way(plan, "", ways).items()} == {"trained": "trained", "int8": "int8"}
    assert by_way(plan, candidate.name, WAYS) == {}


class Refusing:
    """Builds everything but what a converter refuses: bundles of onnxruntime's INT8."""

    def build(self, plan: Plan, wanted: list[str]) -> dict[str, Done]:
        if any("int8" in node for node in wanted):
            raise NotConvertible("it has an operator of its own", where="int8", remedy="none")
        return {node: Done(plan.nodes[node], None, False, 0.0) for node in wanted}


def test_what_a_converter_refuses_takes_only_its_own_variant_down(workshop: Workshop) -> None:
    workshop.builder = cast(Builder, Refusing())
    ways = [Way("trained", "onnxruntime", "float32", 1, 1, 1), Way("int8", "onnxruntime", "int8", 1, 1, 1)]
    plan, built = workshop.bundles([Candidate(1, Choice((), (("blocks.2.conv1", 16),)), 1)], ways)
    troubles = {one.name: built[one.bundle].trouble for one in plan.variants}
    assert set(troubles) == {"trained", "int8", "c01-e1", "c01-e1+int8"}
    assert {name for name, trouble in troubles.items() if trouble} == {"int8", "c01-e1+int8"}


def test_where_the_first_runtime_has_no_base_the_next_one_s_is_it(workshop: Workshop, tmp_path: Path) -> None:
    workshop.target = read_target("host", tmp_path)
    workshop.builder = cast(Builder, SimpleNamespace(build=lambda plan, wanted: {}))
    plan, _ = workshop.bundles([], [Way("trained@onnxruntime", "onnxruntime", "float32", 1, 1, 1)])
    assert [(one.name, one.parent) for one in plan.variants] == [("trained@onnxruntime", None)]


def test_what_was_trained_is_the_same_after_it_was_noted() -> None:
    done = Trained(Candidate(2, Choice(("a",), (("b", 8),)), 3), 0.9, 12.5)
    assert Trained.from_json(done.to_json()) == done


def test_a_criterion_that_needs_an_untrained_network_is_not_taken_over(workshop: Workshop) -> None:
    first = workshop.recipe.shrink[0].model_copy(update={"criterion": "displacement"})
    assert "criterion" not in inherited(workshop.recipe.model_copy(update={"shrink": (first,)}))
    assert inherited(workshop.recipe)["criterion"] == "l1"
