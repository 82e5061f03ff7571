"""The proof must be able to fail: a wrong coupling shows, also where the weights would hide it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline.pruning.coupling import find_structure
from pipeline.pruning.groups import Group
from pipeline.pruning.trial import difference, masked, outputs, prove
from tests.pipeline import nets


def wrong(group: Group) -> Group:
    """The readers' channels one place off."""
    return replace(
        group,
        axes=tuple(
            axis if axis.makes else replace(axis, indices=axis.indices[1:] + axis.indices[:1]) for axis in group.axes
        ),
    )


@pytest.mark.parametrize("name", nets.CUTTABLE)
def test_cut_equals_masked_for_a_right_coupling_and_not_for_a_wrong_one(name: str) -> None:
    net, example = nets.make(name), (nets.pictures(),)
    for group in find_structure(net, example).groups:
        kept = list(range(0, group.units, 3))
        assert difference(net, [(group, kept)], example) < 1e-5
        assert difference(net, [(wrong(group), kept)], example) > 1e-3


def test_wrong_group_is_refused_and_the_right_ones_stay() -> None:
    net, example = nets.make("flat"), (nets.pictures(),)
    groups = find_structure(net, example).groups
    proven, reasons = prove(net, [wrong(groups[0]), *groups[1:]], {}, example)
    assert proven == groups[1:]
    assert reasons == {groups[0].name: "without some of its units the network computes something else"}


def test_weights_of_zero_do_not_hide_a_wrong_group() -> None:
    """Blocks whose last norm starts at zero, as many train them, add nothing: any cut inside looks right."""
    net, example = nets.make("resnet"), (nets.pictures(),)
    groups = find_structure(net, example).groups
    with torch.no_grad():
        for block in net.get_submodule("blocks").children():
            assert isinstance(block.norm2, nn.BatchNorm2d)
            block.norm2.weight.zero_()
            block.norm2.bias.zero_()
    inner = next(group for group in groups if group.name == "blocks.0.conv1")
    assert difference(net, [(wrong(inner), list(range(0, 16, 2)))], example) < 1e-5
    proven, reasons = prove(net, [wrong(inner)], {}, example)
    assert not proven
    assert inner.name in reasons


def test_masked_network_has_the_shapes_of_the_whole_one() -> None:
    net, example = nets.make("mobile"), (nets.pictures(),)
    groups = find_structure(net, example).groups
    made = masked(net, [(group, [0]) for group in groups])
    assert [one.shape for one in made.parameters()] == [one.shape for one in net.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(made.parameters(), net.parameters(), strict=True))


def test_outputs_of_tuples_and_mappings_are_all_seen() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, object]:
            return {"a": x, "b": (x + 1, None)}

    assert len(outputs(Two(), (torch.ones(2),))) == 2
