"""Ordinary pieces of networks at which a pruner easily goes wrong without a word: attention of other kinds, shared
matrices, products of units."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, series, vectors
from tests.zoo.trap import DIFFERS, FAILS, FILTERS, NEURONS, NONE


class Windowed(nn.Module):
    """Attention with a learned bias for each head and distance (Swin, T5), and a temperature a head."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.embed = nn.Linear(6, 16)
        self.qkv = nn.Linear(16, 48, bias=False)
        self.bias_table = nn.Parameter(torch.randn(9, 4))
        self.scale = nn.Parameter(torch.rand(4, 1, 1) + 0.5)
        self.register_buffer("places", torch.arange(5)[:, None] - torch.arange(5)[None] + 4)
        self.proj = nn.Linear(16, 12)
        self.fc = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = self.qkv(x).view(x.size(0), x.size(1), 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.bias_table[self.places.view(-1)].view(5, 5, -1).permute(2, 0, 1)
        weights = (q @ k.transpose(-2, -1) * self.scale + bias.unsqueeze(0)).softmax(-1)
        x = (weights @ v).transpose(1, 2).flatten(2)
        return self.fc(F.gelu(self.proj(x)).mean(1))


class FewKeys(nn.Module):
    """Grouped queries (Ainslie et al. 2023): four heads ask, two hold keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 8), nn.Linear(16, 8)
        self.proj = nn.Linear(16, 12)
        self.fc = nn.Linear(12, 10)
        self.heads, self.kv_heads, self.size = 4, 2, 4

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        x = self.embed(x)
        q = self.q(x).view(batch, length, self.heads, self.size).transpose(1, 2)
        k = self.k(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2)
        v = self.v(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2)
        k = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
        v = v.repeat_interleave(self.heads // self.kv_heads, dim=1)
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, self.heads * self.size)
        return self.fc(F.gelu(self.proj(x)).mean(1))


class OneHead(nn.Module):
    """Attention with one head: its inner width can go, its softmax's scale counts that width."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.q, self.k, self.v = nn.Linear(16, 12), nn.Linear(16, 12), nn.Linear(16, 20)
        self.fc = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = self.q(x), self.k(x), self.v(x)
        weights = torch.softmax(q @ k.mT / q.size(-1) ** 0.5, dim=-1)
        return self.fc((weights @ v).mean(1))


class KeysElsewhere(nn.Module):
    """nn.MultiheadAttention whose keys and values have widths of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(3, 16))
        self.attention = nn.MultiheadAttention(16, 4, kdim=6, vdim=6, batch_first=True)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        mixed, _ = self.attention(self.query.expand(x.size(0), -1, -1), x, x)
        return self.fc(torch.tanh(mixed).mean(1))


class Autoencoder(nn.Module):
    """The decoder is the encoder, transposed: one matrix, read both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(12, 24)
        self.bias = nn.Parameter(torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.relu(self.encoder(x)), self.encoder.weight.t(), self.bias)


class TwinLayers(nn.Module):
    """Two layers that share one matrix under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 16)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.embed(x))
        x = torch.relu(self.first(x))
        return self.head(torch.relu(self.second(x)))


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(12, 16), nn.Linear(12, 20)
        self.both = nn.Bilinear(16, 20, 14)
        self.head = nn.Linear(14, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.both(torch.relu(self.left(x)), torch.relu(self.right(x)))))


class Outer(nn.Module):
    """An outer product, flattened: every unit of one side meets every unit of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(12, 6), nn.Linear(12, 8)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.relu(self.left(x)), torch.relu(self.right(x))
        return self.head((left.unsqueeze(2) * right.unsqueeze(1)).flatten(1))


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021): a layer over the tokens, then one over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.tokens = nn.Sequential(nn.Linear(5, 24), nn.GELU(), nn.Linear(24, 5))
        self.channels = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(x)
        return self.head(x.mean(1))


class Voxels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm3d(8)
        self.second = nn.Conv3d(8, 12, 3, stride=2, padding=1)
        self.drop = nn.Dropout3d(0.1)
        self.fc = nn.Linear(12 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool3d(F.relu(self.norm(self.first(x))), 2)
        return self.fc(torch.flatten(self.drop(F.relu(self.second(x))), 1))


def _rows(kind: type[nn.Module], kinds: frozenset[str], **left: str) -> dict[str, Entry]:
    return {f"trap-{kind.__name__}": Entry(kind, series(5, 6), kinds, left)}


def _flat(kind: type[nn.Module], kinds: frozenset[str], **left: str) -> dict[str, Entry]:
    return {f"trap-{kind.__name__}": Entry(kind, vectors(12), kinds, left)}


ENTRIES = {
    **_rows(Windowed, NEURONS | {"heads"}, fc="output"),
    **_rows(FewKeys, NEURONS, q=FAILS, k=FAILS, v=FAILS, fc="output"),
    **_rows(OneHead, NEURONS, q=DIFFERS, k=DIFFERS, fc="output"),
    "trap-KeysElsewhere": Entry(
        KeysElsewhere,
        series(5, 6),
        NEURONS,
        {"query": FAILS, **{f"attention.{one}_proj_weight": "mean" for one in "qkv"}, "fc": "output"},
    ),
    "trap-Mixer": Entry(Mixer, series(5, 6), NEURONS, {"tokens.2": "no layer makes", "head": "output"}),
    "trap-Autoencoder": Entry(Autoencoder, vectors(12), NEURONS, shared=True),
    **_flat(TwinLayers, NEURONS, head="output"),
    **_flat(Bilinear, NONE, left="bilinear", right="bilinear", both="bilinear", head="output"),
    **_flat(Outer, NEURONS, left=FAILS, head="output"),
    "trap-Voxels": Entry(Voxels, series(1, 8, 8, 8), FILTERS, {"fc": "output"}),
}
