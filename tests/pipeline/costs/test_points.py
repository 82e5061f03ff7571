"""Few points are measured, and every cut of the network lies between them."""

from __future__ import annotations

import torch

from models.architectures.resnet import resnet8
from models.architectures.vit import vit_tiny
from pipeline.costs.layers import Layer, Operation, layers_after
from pipeline.costs.points import grid, points
from pipeline.costs.tracing import trace
from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.groups import Group
from tests.pipeline.costs.made import table


def _found(network: torch.nn.Module) -> tuple[list[Operation], list[Group]]:
    prepare(network.eval())
    return trace(network, torch.zeros(1, 1, 28, 28)), find_structure(network, (torch.zeros(2, 1, 28, 28),)).groups


def test_what_cannot_be_cut_is_measured_at_its_own_width_alone() -> None:
    operations, groups = _found(resnet8())
    layers = grid(operations, groups)
    stem = [layer for layer in layers if layer.kind == "conv" and layer.size == (14, 14) and layer.stride == (2, 2)]
    assert {layer.inputs for layer in stem} == {1}
    assert {layer.outputs for layer in stem} == {8, 16}
    assert {layer.outputs for layer in layers if layer.kind == "linear"} == {10}
    assert {layer.inputs for layer in layers if layer.kind == "linear"} == {16, 32, 64}


def test_widths_are_multiples_of_the_alignment() -> None:
    operations, groups = _found(resnet8())
    widths = {layer.outputs for layer in grid(operations, groups, step=16) if layer.kind == "conv"}
    assert widths == {16, 32, 64}


def test_every_cut_can_be_priced_from_the_grid() -> None:
    for network in (resnet8(), vit_tiny()):
        operations, groups = _found(network)
        asked = points(operations, grid(operations, groups), "float32")
        made = table([layer for layer, _ in asked])
        kept = {group.name: max(1, group.units // 3) for group in groups}
        assert made.missing(layers_after(operations, groups, kept), "float32") == []


def test_resnet8_takes_a_few_dozen_points() -> None:
    operations, groups = _found(resnet8())
    assert 30 < len(grid(operations, groups)) < 80


def test_int8_of_a_transformer_asks_for_floats_beside_its_weights() -> None:
    operations, groups = _found(vit_tiny())
    asked = points(operations, grid(operations, groups), "int8")
    assert {precision for layer, precision in asked if layer.kind == "linear"} == {"int8"}
    assert {precision for layer, precision in asked if layer.kind in ("softmax", "gelu", "norm", "add")} == {"float32"}


def test_int8_of_convolutions_asks_for_integers_throughout() -> None:
    operations, groups = _found(resnet8())
    asked = points(operations, grid(operations, groups), "int8")
    assert {precision for layer, precision in asked if layer.kind in ("conv", "pool")} == {"int8"}
    assert any(layer.kind == "add" and precision == "int8" for layer, precision in asked)
    assert isinstance(asked[0][0], Layer)
