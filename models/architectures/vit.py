"""A small vision transformer: Dosovitskiy et al. 2021 (arXiv 2010.11929), pooled by the mean over its tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention with one linear layer for q, k and v: [N, T, width] float32 to the same shape.

    `heads` is read at every call, so a network whose heads were cut runs with what is left of qkv and out.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = width // heads
        self.qkv = nn.Linear(width, 3 * heads * self.head_dim)
        self.out = nn.Linear(heads * self.head_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        samples, tokens, _ = x.shape
        q, k, v = (
            part.reshape(samples, tokens, self.heads, self.head_dim).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(samples, tokens, self.heads * self.head_dim))


class Layer(nn.Module):
    """One pre-norm transformer layer: attention, then a perceptron, each added to what came in."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.rise = nn.Linear(width, hidden)
        self.fall = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fall(F.gelu(self.rise(self.norm2(x))))


class VisionTransformer(nn.Module):
    """Patches by one strided convolution, learnt positions, layers, the mean over tokens, one linear layer.

    Input [N, channels, picture, picture] float32, output logits [N, classes] float32.
    """

    def __init__(
        self, picture: int, patch: int, width: int, depth: int, heads: int, mlp: float, channels: int, classes: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Parameter(torch.empty(1, (picture // patch) ** 2, width))
        self.layers = nn.Sequential(*(Layer(width, heads, int(width * mlp)) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.layers(x)).mean(dim=1))


def vit_tiny(
    classes: int = 10,
    channels: int = 1,
    picture: int = 28,
    patch: int = 7,
    width: int = 96,
    depth: int = 4,
    heads: int = 6,
    mlp: float = 2.0,
) -> VisionTransformer:
    """Four layers of six heads of 16 over 16 tokens: 306,634 parameters in its default form.

    A head's size is width / heads; below 16, attention costs several times as much for the same work.
    """
    return VisionTransformer(picture, patch, width, depth, heads, mlp, channels, classes)
