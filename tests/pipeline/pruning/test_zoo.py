"""shrink() on every network of the zoo: what it cuts is what it masks, and a library that counts for itself agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from pipeline.pruning import coupling
from pipeline.pruning.criteria import CRITERIA
from pipeline.pruning.groups import Group, Structure
from pipeline.pruning.shrink import Outcome, Wish, WrongCut
from pipeline.pruning.trial import outputs
from tests.zoo import ZOO
from tests.zoo.entry import Entry, available
from tests.zoo.proof import Pruned, counted, gaps, pruned, skipped_gap, structure_from, traced_once

RATIOS = (0.3, 0.5, 0.75)
EXACT = 1e-5
CUTTABLE = [name for name, entry in ZOO.items() if entry.kinds]
NAMES = [pytest.param(name, marks=pytest.mark.slow if ZOO[name].large else ()) for name in CUTTABLE]
SMALL = [name for name in CUTTABLE if not ZOO[name].large]
LAYERED = [
    pytest.param(name, marks=pytest.mark.slow if ZOO[name].large else ()) for name in ZOO if ZOO[name].layers > 1
]


@pytest.fixture
def once() -> Iterator[None]:
    """Many runs on one network trace it once."""
    with traced_once():
        yield


def wish(entry: Entry, ratio: float, criterion: str, blocks: float = 0.0) -> Wish:
    return Wish(blocks=blocks, criterion=criterion, min_width=1, **dict.fromkeys(entry.kinds, ratio))  # type: ignore[arg-type]


def troubles(case: Pruned) -> list[str]:
    """What is wrong with one run; nothing, it is hoped."""
    entry, outcome = case.entry, case.outcome
    found = [f"{how} differs by {gap:.2g}" for how, gap in gaps(case).items() if not gap <= EXACT]
    if (size := counted(case.network, entry)) != outcome.after:
        found.append(f"{size} is counted, {outcome.after} is said")
    before = counted(case.whole, entry)
    if not (size.params < before.params and size.macs < before.macs and size.bytes < before.bytes):
        found.append(f"it did not shrink: {before} to {size}")
    shapes = [[one.shape for one in outputs(net, entry.samples(3))] for net in (case.network, entry.network())]
    if shapes[0] != shapes[1]:
        found.append(f"outputs of the shapes {shapes[0]} where there were {shapes[1]}")
    return found


def asked(outcome: Outcome, ratio: float) -> list[str]:
    """Groups that lost a whole unit more or less than asked."""
    return [
        f"{name}: {before} to {after}"
        for name, (_, before, after) in outcome.units.items()
        if abs(after - before * (1 - ratio)) >= 1 and after > 1
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("once")
def test_shrink_by_half_leaves_what_the_mask_leaves(name: str) -> None:
    entry = available(ZOO[name])
    case = pruned(entry, wish(entry, 0.5, "taylor"))
    assert troubles(case) == []
    assert asked(case.outcome, 0.5) == []
    assert {kind for kind, _, _ in case.outcome.units.values()} == entry.kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.usefixtures("once")
def test_shrink_by_every_criterion_at_every_ratio_leaves_what_the_mask_leaves(name: str) -> None:
    entry = available(ZOO[name])
    found = {}
    for criterion in CRITERIA:
        for ratio in RATIOS:
            case = pruned(entry, wish(entry, ratio, criterion))
            if wrong := troubles(case) + asked(case.outcome, ratio):
                found[criterion, ratio] = wrong
    assert found == {}


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.usefixtures("once")
def test_shrink_takes_layers_and_then_width_of_what_is_left(name: str) -> None:
    entry = available(ZOO[name])
    case = pruned(entry, wish(entry, 0.5, "taylor-gate", blocks=0.5))
    assert troubles(case) == []
    assert len(case.outcome.blocks) == int(0.5 * entry.layers + 0.5)
    assert skipped_gap(entry, case) <= EXACT
    gone = [tuple(case.network.get_submodule(name).parameters()) for name in case.outcome.blocks]
    assert gone == [()] * len(gone)


@pytest.mark.parametrize("side", ["read", "made"])
@pytest.mark.parametrize("name", ["resnet", "densenet", "vit-fused", "bert", "mobilenetv3", "lenet"])
def test_shrink_on_a_coupling_that_is_wrong_by_one_channel_is_refused(name: str, side: str) -> None:
    entry = available(ZOO[name])
    true = coupling.find_structure

    def mutated(*given: object) -> Structure:
        found = true(*given)  # type: ignore[arg-type]
        for place, group in enumerate(found.groups):
            if (wrong := rolled(group, side == "made")) is not None:
                found.groups[place] = wrong
                return found
        raise AssertionError("nothing to mutate")

    with structure_from(mutated), pytest.raises(WrongCut):
        pruned(entry, wish(entry, 0.5, "l2"))


def rolled(group: Group, makes: bool) -> Group | None:
    """The group with one tensor's units one place off; None where it has no such tensor of two or more dimensions."""
    for place, axis in enumerate(group.axes):
        if axis.makes == makes and len(group.axes) > 1:
            wrong = replace(axis, indices=(*axis.indices[1:], axis.indices[0]))
            return replace(group, axes=(*group.axes[:place], wrong, *group.axes[place + 1 :]))
    return None


def test_proof_of_the_zoo_sees_a_number_that_moved() -> None:
    entry = ZOO["resnet"]
    case = pruned(entry, wish(entry, 0.5, "l1"))
    assert troubles(case) == []
    with torch.no_grad():
        case.network.state_dict()["layers.1.bn1.running_mean"] += 0.1
    assert any("masked" in one for one in troubles(case))
