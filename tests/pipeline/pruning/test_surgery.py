"""The knife: every layer of torch's own keeps count of what it has left, and sharers go on sharing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.pruning import surgery
from pipeline.pruning.surgery import CantCut


@pytest.mark.parametrize(
    ("layer", "leaf", "axis", "kept", "counts"),
    [
        (nn.Conv2d(4, 6, 3), "weight", 0, (1, 5), {"out_channels": 2, "in_channels": 4, "groups": 1}),
        (nn.Conv2d(4, 6, 3), "weight", 1, (0, 1, 3), {"out_channels": 6, "in_channels": 3}),
        (nn.Conv1d(6, 6, 3, groups=6), "weight", 0, (1, 5), {"out_channels": 2, "in_channels": 2, "groups": 2}),
        (nn.Conv2d(3, 6, 3, groups=3), "weight", 0, (0, 1), {"out_channels": 2, "in_channels": 1, "groups": 1}),
        (nn.Conv2d(8, 4, 3, groups=2), "weight", 1, (0, 3), {"in_channels": 4, "out_channels": 4, "groups": 2}),
        (nn.Conv2d(8, 4, 3, groups=2), "weight", 0, (0, 2), {"in_channels": 8, "out_channels": 2, "groups": 2}),
        (nn.ConvTranspose2d(4, 6, 2), "weight", 0, (1,), {"in_channels": 1, "out_channels": 6}),
        (nn.ConvTranspose2d(4, 6, 2), "weight", 1, (1, 2), {"in_channels": 4, "out_channels": 2}),
        (nn.Linear(4, 6), "weight", 0, (1, 5), {"out_features": 2, "in_features": 4}),
        (nn.Linear(4, 6), "weight", 1, (1,), {"out_features": 6, "in_features": 1}),
        (nn.BatchNorm2d(4), "weight", 0, (1, 2), {"num_features": 2}),
        (nn.BatchNorm1d(4, affine=False), "running_mean", 0, (1, 2), {"num_features": 2}),
        (nn.GroupNorm(4, 4), "weight", 0, (1, 2), {"num_channels": 2, "num_groups": 2}),
        (nn.Embedding(5, 4), "weight", 1, (0, 2), {"num_embeddings": 5, "embedding_dim": 2}),
        (nn.PReLU(4), "weight", 0, (0,), {"num_parameters": 1}),
    ],
)
def test_cut_updates_what_a_layer_counts(
    layer: nn.Module, leaf: str, axis: int, kept: tuple[int, ...], counts: dict[str, int]
) -> None:
    before = getattr(layer, leaf).detach().clone()
    surgery.cut(nn.Sequential(layer), f"0.{leaf}", axis, kept, before.shape[axis])
    assert torch.equal(getattr(layer, leaf), before.index_select(axis, torch.tensor(kept)))
    assert {name: getattr(layer, name) for name in counts} == counts


def test_cut_of_a_shared_tensor_is_seen_by_all_who_share_it() -> None:
    net = nn.ModuleDict({"a": nn.Linear(4, 6), "b": nn.Linear(4, 6)})
    net["b"].weight = net["a"].weight
    surgery.cut(net, "a.weight", 0, (0, 2, 3), 6)
    assert net["b"].weight is net["a"].weight
    assert [net[name].out_features for name in "ab"] == [3, 3]


def test_cut_keeps_what_is_frozen_frozen() -> None:
    net = nn.Sequential(nn.Linear(4, 6).requires_grad_(False))
    surgery.cut(net, "0.weight", 0, (0,), 6)
    assert not next(net.parameters()).requires_grad


def test_set_count_of_a_tuple_changes_one_place() -> None:
    net = nn.Sequential(nn.Unflatten(1, (4, 3)))
    surgery.set_count(net, "0", "unflattened_size", 2, 4, 0)
    assert net[0].unflattened_size == (2, 3)
    with pytest.raises(CantCut, match="unflattened_size = 2 where the plan counts 4"):
        surgery.set_count(net, "0", "unflattened_size", 1, 4, 0)


def test_remove_passes_the_first_argument_on() -> None:
    net = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2).eval()
    surgery.remove(net, "layers.0")
    surgery.remove(net, "layers.1")
    x: Any = torch.randn(3, 1, 8)
    assert torch.equal(net(x, torch.randn(3, 1, 8)), x)


def test_keep_rows_goes_on_taking_the_old_numbers() -> None:
    embedding = nn.Embedding(10, 4)
    net = nn.Sequential(embedding)
    surgery.keep_rows(net, "0", (0, 3, 7), 10, 0)
    assert torch.equal(net(torch.tensor([7, 3, 5])), embedding.weight[[7, 3, 0]])
    assert sum(parameter.numel() for parameter in net.parameters()) == 12
    assert net.get_buffer("0.rows").dtype == torch.int32


def test_keep_rows_of_a_tied_embedding_is_refused_by_name() -> None:
    net = nn.ModuleDict({"tokens": nn.Embedding(10, 4), "head": nn.Linear(4, 10, bias=False)})
    net["head"].weight = net["tokens"].weight
    with pytest.raises(CantCut, match=r"shares its weight with 'head\.weight'"):
        surgery.keep_rows(net, "tokens", (0, 1), 10, 0)


@pytest.mark.parametrize("kept", [(), (1, 2), (0, 99)])
def test_keep_rows_that_are_not_there_is_refused(kept: tuple[int, ...]) -> None:
    with pytest.raises((CantCut, ValueError)):
        surgery.keep_rows(nn.Sequential(nn.Embedding(10, 4)), "0", kept, 10, 0)


@pytest.mark.parametrize(
    "attention", [nn.MultiheadAttention(8, 2, kdim=4), nn.MultiheadAttention(8, 2, add_bias_kv=True)]
)
def test_swap_of_attention_with_other_keys_is_refused(attention: nn.Module) -> None:
    with pytest.raises(CantCut, match="another width, or added ones"):
        surgery.swap(nn.Sequential(attention), "0", "heads")
