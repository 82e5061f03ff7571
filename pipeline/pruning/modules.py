"""Modules that take another's place when a network is cut: a skipped layer, attention by heads, fewer rows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Skip(nn.Module):
    """Gives back its first argument: what stands where a residual block or a transformer layer was."""

    def __init__(self, gone: nn.Module) -> None:
        super().__init__()
        if isinstance(gone, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
            # torch's encoders and decoders ask their first layer how its attention takes the batch.
            self.self_attn = SimpleNamespace(batch_first=gone.self_attn.batch_first)

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        return x


class HeadwiseAttention(nn.MultiheadAttention):
    """nn.MultiheadAttention whose heads may be fewer than embed_dim / head_dim: the same weights, names and outputs.

    torch's own insists that all heads together are as wide as the embedding. Made by changing the class of the
    original, never by calling it.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        batched, same = query.dim() == 3, query is key and key is value
        query, key, value = (one if batched else one.unsqueeze(0) for one in (query, key, value))
        if batched and not self.batch_first:
            query, key, value = (one.transpose(0, 1) for one in (query, key, value))
        q, k, v = (
            one.reshape(*one.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)
            for one in (self._project(query) if same else self._project_apart(query, key, value))
        )
        mask = self._mask(attn_mask, key_padding_mask, q)
        if is_causal and mask is None:
            mask = self._causal(q.shape[-2], k.shape[-2], q)
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            weights = F.dropout(weights, self.dropout, self.training)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0)
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), weights

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        return F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)

    def _project_apart(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        weights = self.in_proj_weight.chunk(3)
        biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return tuple(F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))

    def _mask(self, attention: Tensor | None, padding: Tensor | None, like: Tensor) -> Tensor | None:
        """Both masks as one that is added to the scores, broadcast to [N, heads, T, S]."""
        total = None
        if attention is not None:
            total = _added(attention, like)
            if total.dim() == 3:  # [N * heads, T, S]
                total = total.reshape(like.shape[0], -1, *total.shape[1:])
        if padding is not None:
            hidden = _added(padding, like)[:, None, None, :]
            total = hidden if total is None else total + hidden
        return total

    @staticmethod
    def _causal(targets: int, sources: int, like: Tensor) -> Tensor:
        return _added(torch.ones(targets, sources, dtype=torch.bool, device=like.device).triu(1), like)


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """True (hidden) as minus infinity."""
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, float("-inf"))
    return mask.to(like.dtype)


class RowEmbedding(nn.Module):
    """An embedding without the rows that are never used; it goes on taking the old numbers.

    weight: float [rows, dim]; rows: int32 [old rows], the old number's new row.
    """

    rows: Tensor

    def __init__(self, whole: nn.Embedding, kept: Sequence[int], unknown: int) -> None:
        super().__init__()
        places = {old: new for new, old in enumerate(kept)}
        table = [places.get(old, places[unknown]) for old in range(whole.num_embeddings)]
        self.num_embeddings, self.embedding_dim = len(places), whole.embedding_dim
        self.weight = nn.Parameter(
            whole.weight.detach()[list(places)].clone(), requires_grad=whole.weight.requires_grad
        )
        self.register_buffer("rows", torch.tensor(table, dtype=torch.int32))

    def forward(self, numbers: Tensor) -> Tensor:
        return F.embedding(self.rows[numbers], self.weight)
