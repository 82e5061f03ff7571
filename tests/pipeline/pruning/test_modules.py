"""Modules that stand in for others must give what those gave."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.pruning import surgery
from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.modules import Skip
from pipeline.pruning.trial import cut_copy, difference

T, N, D, HEADS = 5, 3, 12, 4
PADDING = torch.tensor([[False] * 5, [False] * 4 + [True], [False] * 2 + [True] * 3])
BOOLEAN = torch.ones(T, T, dtype=torch.bool).triu(1)
FLOAT = torch.randn(T, T, generator=torch.Generator().manual_seed(0))


def _pair(**options: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    original = nn.MultiheadAttention(D, HEADS, **options).eval()
    nn.init.normal_(original.in_proj_bias) if options.get("bias", True) else None
    holder = nn.Sequential(copy.deepcopy(original))
    surgery.swap(holder, "0", "heads")
    return original, holder[0]


def _close(one: tuple[Tensor, Tensor | None], other: tuple[Tensor, Tensor | None]) -> None:
    for first, second in zip(one, other, strict=True):
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        {}, {"need_weights": False}, {"average_attn_weights": False}, {"key_padding_mask": PADDING},
        {"key_padding_mask": PADDING, "need_weights": False}, {"attn_mask": BOOLEAN}, {"attn_mask": FLOAT},
        {"attn_mask": FLOAT.expand(N * HEADS, T, T), "need_weights": False},
        {"attn_mask": BOOLEAN, "is_causal": True, "need_weights": False},
        {"attn_mask": BOOLEAN, "key_padding_mask": PADDING},
    ],
)  # fmt: skip
def test_headwise_attention_gives_what_multihead_attention_gave(
    call: dict[str, Any], bias: bool, batch_first: bool
) -> None:
    original, swapped = _pair(batch_first=batch_first, bias=bias)
    x = torch.randn(N, T, D) if batch_first else torch.randn(T, N, D)
    with torch.no_grad():
        _close(original(x, x, x, **call), swapped(x, x, x, **call))


def test_headwise_attention_across_two_sequences_gives_the_same() -> None:
    original, swapped = _pair(batch_first=True)
    query, memory = torch.randn(N, T, D), torch.randn(N, 7, D)
    with torch.no_grad():
        _close(original(query, memory, memory), swapped(query, memory, memory))
        _close(original(query[0], memory[0], memory[0]), swapped(query[0], memory[0], memory[0]))


@pytest.mark.parametrize("norm_first", [True, False])
def test_encoder_with_a_padding_mask_gives_the_same_after_the_swap(norm_first: bool) -> None:
    """In evaluation mode without gradients torch's encoder has a fused path of its own past the attention."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(D, HEADS, 24, batch_first=True, norm_first=norm_first)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    swapped = copy.deepcopy(encoder)
    assert len(prepare(swapped)) == 2
    x = torch.randn(N, T, D)
    with torch.no_grad():
        wanted, got = (one(x, src_key_padding_mask=PADDING) for one in (encoder, swapped))
    torch.testing.assert_close(wanted[~PADDING], got[~PADDING], rtol=1e-4, atol=1e-5)


def test_swapped_attention_loses_heads_and_trains_on() -> None:
    torch.manual_seed(0)
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(D, HEADS, 24, batch_first=True), 1).eval()
    prepare(net)
    example = (torch.randn(2, T, D),)
    heads = next(group for group in find_structure(net, example).groups if group.kind == "heads")
    assert heads.units == HEADS
    assert difference(net, [(heads, [1, 3])], example) < 1e-5
    small = cut_copy(net, [(heads, [1, 3])])
    attention = small.get_submodule("layers.0.self_attn")
    assert isinstance(attention, nn.MultiheadAttention)
    assert attention.num_heads == 2
    assert tuple(attention.in_proj_weight.shape) == (3 * 2 * 3, D)
    small.train()(*example).sum().backward()
    assert attention.in_proj_weight.grad is not None


def test_skip_gives_back_its_first_argument_whatever_else_comes() -> None:
    x = torch.randn(2)
    assert Skip(nn.Linear(2, 2))(x, 1, mask=None) is x
