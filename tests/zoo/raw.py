"""Networks that compute with parameters of their own: einsum, matmul, gates by halves, fixed slices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures, series, vectors


class RawParameters(nn.Module):
    """Layers without modules: a matmul, an einsum, a bias and a scale added by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(12, 24) * 0.3)
        self.b1 = nn.Parameter(torch.randn(24) * 0.3)
        self.w2 = nn.Parameter(torch.randn(20, 24) * 0.2)
        self.scale = nn.Parameter(torch.rand(20) + 0.5)
        self.head = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x @ self.w1 + self.b1)
        x = torch.einsum("bi,oi->bo", x, self.w2) * self.scale
        return self.head(torch.relu(x))


class Gated(nn.Module):
    """Gated linear units (Dauphin et al. 2016; Shazeer 2020): one by F.glu, one by chunk, one with two projections."""

    def __init__(self, dim: int = 12) -> None:
        super().__init__()
        self.both = nn.Linear(dim, 32)
        self.down = nn.Linear(16, dim)
        self.fused = nn.Linear(dim, 40)
        self.out = nn.Linear(20, dim)
        self.gate = nn.Linear(dim, 24, bias=False)
        self.up = nn.Linear(dim, 24, bias=False)
        self.last = nn.Linear(24, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.down(F.glu(self.both(x), dim=-1))
        value, gate = self.fused(x).chunk(2, dim=-1)
        x = x + self.out(value * F.gelu(gate))
        x = x + self.last(F.silu(self.gate(x)) * self.up(x))
        return self.head(self.norm(x).mean(1))


class FixedSlices(nn.Module):
    """Channels by number: the first eight go one way, the rest another. A cut would move them, so `shared` stays."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 16, 3, 2, 1)
        self.left = nn.Conv2d(8, 12, 3, padding=1)
        self.right = nn.Conv2d(8, 12, 1)
        self.fc = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.shared(x))
        x = torch.cat([F.relu(self.left(x[:, :8])), F.relu(self.right(x[:, 8:16]))], 1)
        return self.fc(x.mean((2, 3)))


class FixedSplit(nn.Module):
    """Sizes written into a split and into a view."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 16, 3, 2, 1)
        self.merge = nn.Conv2d(8, 8, 1)
        self.flat = nn.Linear(8 * 16, 24)
        self.fc = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.split(F.relu(self.shared(x)), [8, 8], dim=1)
        x = F.relu(self.merge(left * torch.sigmoid(right)))
        x = F.max_pool2d(x, 2).view(-1, 8 * 16)
        return self.fc(F.relu(self.flat(x)))


class LayerScale(nn.Module):
    """A parameter a channel that multiplies pictures (Touvron et al. 2021), and one that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.gamma = nn.Parameter(torch.rand(1, 16, 1, 1))
        self.shift = nn.Parameter(torch.randn(16, 1, 1) * 0.3)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.gamma * self.conv(x) + self.shift)
        return self.fc(x.mean((2, 3)))


_FILTERS, _NEURONS = frozenset({"filters"}), frozenset({"neurons"})

ENTRIES = {
    "raw-parameters": Entry(RawParameters, vectors(12), _NEURONS, {"head": "output"}),
    "gated": Entry(
        Gated, series(5, 12), _NEURONS, {**dict.fromkeys(("down", "out", "last"), "no layer makes"), "head": "output"}
    ),
    "fixed-slices": Entry(FixedSlices, pictures(), _FILTERS, {"shared": "", "fc": "output"}),
    "fixed-split": Entry(FixedSplit, pictures(), _NEURONS, {"shared": "", "merge": "", "fc": "output"}),
    "layer-scale": Entry(LayerScale, pictures(), _FILTERS, {"fc": "output"}),
}
