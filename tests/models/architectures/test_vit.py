"""The small vision transformer: its attention is the usual one, and heads may be fewer than it was made with."""

from __future__ import annotations

import torch
from torch import nn

from models.architectures.vit import Attention, vit_tiny


def test_vit_tiny_has_the_parameters_it_says() -> None:
    network = vit_tiny()
    assert sum(parameter.numel() for parameter in network.parameters()) == 306_634
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_attention_equals_torchs_own() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        assert theirs.in_proj_weight is not None
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
        x = torch.randn(2, 5, 12)
        torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_attention_without_a_head_equals_one_whose_output_is_not_read() -> None:
    torch.manual_seed(0)
    whole, cut = Attention(12, 3), Attention(12, 3)
    cut.load_state_dict(whole.state_dict())
    kept = torch.arange(12)[torch.arange(12) // 4 != 1]  # head 1 goes
    rows = torch.cat([kept, kept + 12, kept + 24])
    cut.heads = 2
    cut.qkv.weight, cut.qkv.bias = nn.Parameter(cut.qkv.weight[rows]), nn.Parameter(cut.qkv.bias[rows])
    cut.out.weight = nn.Parameter(cut.out.weight[:, kept])
    with torch.no_grad():
        whole.out.weight[:, 4:8] = 0
        x = torch.randn(2, 5, 12)
        torch.testing.assert_close(cut(x), whole(x))
