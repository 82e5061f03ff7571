"""Small networks that are more than pictures in, classes out: attention, tokens, and several inputs and outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Patches(nn.Module):
    """A vision transformer of one layer on 8 x 8 pictures: patches of 2, fused q, k and v."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, 64), nn.Linear(64, width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in self.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + self.fall(F.gelu(self.rise(self.norm2(x))))
        return self.head(x.mean(1))


class Words(nn.Module):
    """Token numbers in (0 is padding), nn.MultiheadAttention over an embedding, two classes out."""

    def __init__(self, words: int = 50, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        mixed, _ = self.attention(x, x, x, key_padding_mask=ids == 0, need_weights=False)
        return self.head(self.norm(x + mixed).mean(1))


class Pair(nn.Module):
    """Two inputs of different shape, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 8), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        z = F.relu(self.left(x) + self.right(y))
        return self.head(z), z.sum(1, keepdim=True)


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """One of them, seeded, in evaluation mode."""
    torch.manual_seed(seed)
    return kind().eval()


def tokens(count: int, seed: int = 1) -> Tensor:
    """int64 [count, 12], from 1 to 49 and padded with zeros at the end."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 50, (count, 12), generator=generator)
    lengths = torch.randint(4, 13, (count, 1), generator=generator)
    return torch.where(torch.arange(12) < lengths, ids, 0)
