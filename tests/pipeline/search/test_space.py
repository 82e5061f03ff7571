"""What may go, and what is left of it: counted without a cut, exactly as a real cut would leave it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from edgewright.files import pretty_json
from models.architectures.vit import VisionTransformer
from pipeline import network
from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.layers import without
from pipeline.pruning.plan import PruningPlan, actions_for, replay
from pipeline.search.space import Choice, NothingToRemove, Space, find_space
from tests.pipeline.nets import make, pictures


def _vit() -> nn.Module:
    torch.manual_seed(0)
    return VisionTransformer(8, 4, 24, 3, 3, 2.0, 1, 10).eval()


@pytest.mark.parametrize("kind", ["resnet", "mobile", "vit"])
def test_sizes_and_names_are_those_of_a_real_cut(kind: str) -> None:
    net = _vit() if kind == "vit" else make(kind)
    space, draw = find_space(net, (pictures(2),), alignment=8), random.Random(3)
    for _ in range(2):
        removed = tuple(draw.sample(space.layers, len(space.layers) // 2 + draw.randint(0, 1)) if space.layers else ())
        widths = tuple((group.name, draw.choice(space.options[group.name])) for group in space.groups)
        choice = space.tidy(Choice(removed, widths))
        cut = without(net, choice.remove)
        prepare(cut)
        structure = find_structure(cut, (pictures(2),))
        named = space.named(choice)
        assert set(named) <= set(structure.by_name)
        kept = [(structure.by_name[name], list(range(width))) for name, width in named.items()]
        replay(PruningPlan(actions_for(kept)), cut)
        found, counted = network.measure(cut, pictures(1)), space.size(choice)
        assert (counted.params, counted.macs) == (found.params, found.macs)


def test_embeddings_are_counted_without_the_rows_that_go(space: Space) -> None:
    assert space.embedded(Choice()) == 0
    tensors = {**space.tensors, "words.weight": (1000, 8)}
    texts = replace(space, tensors=tensors, rows={"words": 100})
    assert texts.embedded(Choice()) == 800
    assert texts.size(Choice()).params - texts.embedded(Choice()) == space.size(Choice()).params


def test_a_choice_is_tidied_to_one_spelling(space: Space) -> None:
    layer = space.layers[0]
    inside = next(group.name for group in space.groups if group.name.startswith(f"{layer}."))
    whole = next(group for group in space.groups if group.name != inside)
    choice = space.tidy(Choice((layer,), ((inside, 8), (whole.name, whole.units))))
    assert choice == Choice((layer,), ())


def test_a_choice_is_the_same_after_it_was_noted(space: Space) -> None:
    choice = Choice(tuple(space.layers), tuple((group.name, 8) for group in reversed(space.groups)))
    assert Choice.from_json(json.loads(pretty_json(choice.to_json()))) == choice


def test_widths_are_aligned_and_fall(space: Space) -> None:
    for group in space.groups:
        options = space.options[group.name]
        assert options[0] == group.units
        assert options == sorted(options, reverse=True)
        assert all(width % 8 == 0 for width in options)


def test_a_network_of_which_nothing_can_go_is_refused() -> None:
    with pytest.raises(NothingToRemove, match="No layer"):
        find_space(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), (pictures(2),), alignment=8)
