"""Ordinary pieces of networks at which a pruner easily goes wrong without a word: channels that are moved, mixed,
counted, copied or normalised on the way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures, series, vectors


class _Head(nn.Module):
    """A stem, the trap, and a classifier that reads `width` channels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.next = nn.Conv2d(width, 12, 3, padding=1)
        self.fc = nn.Linear(12, 10)

    def trap(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = self.trap(F.relu(self.stem(x)))
        return self.fc(F.relu(self.next(x)).mean((2, 3)))


class Mirrored(_Head):
    """CReLU (Shang et al. 2016): every channel twice, once negated."""

    def __init__(self) -> None:
        super().__init__(32)

    def trap(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([x, -x], 1))


class Repeated(_Head):
    def __init__(self) -> None:
        super().__init__(32)

    def trap(self, x: Tensor) -> Tensor:
        return x.repeat(1, 2, 1, 1) + x.repeat_interleave(2, dim=1)


class Rolled(_Head):
    """Channels added to their neighbours: none can go alone."""

    def trap(self, x: Tensor) -> Tensor:
        return x + torch.roll(x, 1, dims=1)


class Flipped(_Head):
    def trap(self, x: Tensor) -> Tensor:
        return x + x.flip(1)


class Reordered(_Head):
    """A fixed order of channels in a buffer: it counts them."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(16))

    def trap(self, x: Tensor) -> Tensor:
        return x[:, self.order]


class Selected(_Head):
    def trap(self, x: Tensor) -> Tensor:
        return x.index_select(1, torch.arange(15, -1, -1))


class Shifted(_Head):
    """Temporal-shift style: a part of the channels is written over (Lin et al. 2018)."""

    def trap(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        fold = x.size(1) // 4
        out[:, :fold, 1:] = x[:, :fold, :-1]
        out[:, fold:] = x[:, fold:]
        return out


class Overwritten(_Head):
    def trap(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, 0] = 1.0
        return x


class Maxout(_Head):
    def __init__(self) -> None:
        super().__init__(8)

    def trap(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1, 2, x.size(2), x.size(3)).amax(2)


class Normalised(_Head):
    """Unit length over the channels: without one of them the others change."""

    def trap(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1)


class SoftChannels(_Head):
    def trap(self, x: Tensor) -> Tensor:
        return F.softmax(x, dim=1) * 10


class SpatialAttention(_Head):
    """CBAM's second half (Woo et al. 2018): a mean and a maximum over channels weigh the places."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3)

    def trap(self, x: Tensor) -> Tensor:
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.weigh(both))


class ChannelConvolution(_Head):
    """ECA (Wang et al. 2020): a 1-d convolution that runs over the channels themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def trap(self, x: Tensor) -> Tensor:
        y = self.conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1)
        return x * torch.sigmoid(y)[:, :, None, None]


class ResponseNorm(_Head):
    """AlexNet's norm over neighbouring channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(5, alpha=0.5)

    def trap(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Multiplied(_Head):
    """A depthwise convolution with two outputs an input."""

    def __init__(self) -> None:
        super().__init__(32)
        self.depthwise = nn.Conv2d(16, 32, 3, padding=1, groups=16)

    def trap(self, x: Tensor) -> Tensor:
        return F.relu(self.depthwise(x))


class SpaceToDepth(_Head):
    """YOLO's focus: places become channels."""

    def __init__(self) -> None:
        super().__init__(64)

    def trap(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


class PixelShuffle(_Head):
    def __init__(self) -> None:
        super().__init__(4)
        self.shuffle = nn.PixelShuffle(2)

    def trap(self, x: Tensor) -> Tensor:
        return self.shuffle(x)


class PixelUnshuffle(_Head):
    def __init__(self) -> None:
        super().__init__(64)

    def trap(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, 2)


class GroupedShuffle(_Head):
    """ShuffleNet's first version: a grouped convolution, a shuffle, a grouped convolution."""

    def __init__(self) -> None:
        super().__init__(24)
        self.first = nn.Conv2d(16, 24, 1, groups=2, bias=False)
        self.second = nn.Conv2d(24, 24, 3, padding=1, groups=4)

    def trap(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = x.reshape(x.size(0), 2, -1, x.size(2), x.size(3)).transpose(1, 2).flatten(1, 2)
        return F.relu(self.second(x))


class GroupedTransposed(_Head):
    def __init__(self) -> None:
        super().__init__(8)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=4)

    def trap(self, x: Tensor) -> Tensor:
        return self.up(x)


class WeightNormed(_Head):
    """A weight that is computed from two others at every pass."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.stem)

    def trap(self, x: Tensor) -> Tensor:
        return x


class SpectralNormed(_Head):
    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.spectral_norm(self.next)

    def trap(self, x: Tensor) -> Tensor:
        return x


class Standardised(nn.Conv2d):
    """Weight standardisation (Qiao et al. 2019): each filter minus its own mean, which runs over its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        weight = weight / (weight.std(dim=(1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class WeightStandardised(_Head):
    def __init__(self) -> None:
        super().__init__()
        self.next = Standardised(16, 12, 3, padding=1)

    def trap(self, x: Tensor) -> Tensor:
        return x


class Counted(_Head):
    """Divides by how many channels there are."""

    def trap(self, x: Tensor) -> Tensor:
        return x * (8.0 / x.size(1))


class MeanOfChannels(_Head):
    def __init__(self) -> None:
        super().__init__(1)

    def trap(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)


class SumOfChannels(_Head):
    """A sum without the channels that are zero is the same sum."""

    def __init__(self) -> None:
        super().__init__(1)

    def trap(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True)


class Gram(_Head):
    """Products of all channels with all: the size of what follows depends on them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Linear(256, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x)).flatten(2)
        return self.fc(F.relu(self.flat(torch.bmm(x, x.transpose(1, 2)).flatten(1))))


class Noised(_Head):
    """A constant map of the channels' own number is added."""

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.randn(1, 16, 8, 8))

    def trap(self, x: Tensor) -> Tensor:
        return x * self.grid


class Stacked(_Head):
    """Channels by pairs in a new dimension, and back in the other order."""

    def __init__(self) -> None:
        super().__init__(32)
        self.other = nn.Conv2d(3, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([F.relu(self.stem(x)), torch.tanh(self.other(x))], dim=2)
        return self.fc(F.relu(self.next(both.flatten(1, 2))).mean((2, 3)))


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


def _cnn(kind: type[_Head], **left: str) -> dict[str, Entry]:
    """`next` can always go; `left` says what else stays and why."""
    return {f"trap-{kind.__name__}": Entry(kind, pictures(), _FILTERS, {**left, "fc": "output"})}


def _rows(kind: type[nn.Module], kinds: frozenset[str], **left: str) -> dict[str, Entry]:
    return {f"trap-{kind.__name__}": Entry(kind, series(5, 6), kinds, left)}


def _flat(kind: type[nn.Module], kinds: frozenset[str], **left: str) -> dict[str, Entry]:
    return {f"trap-{kind.__name__}": Entry(kind, vectors(12), kinds, left)}


_NONE = frozenset[str]()
_FILTERS, _NEURONS = frozenset({"filters"}), frozenset({"neurons"})
_DIFFERS, _FAILS = "computes something else", "forward pass fails"

ENTRIES = {
    **_cnn(Mirrored),
    **_cnn(Repeated, stem="one unit"),
    **_cnn(Rolled, stem="one unit"),
    **_cnn(Flipped),
    **_cnn(Reordered, stem="by number"),
    **_cnn(Selected, stem="by number"),
    **_cnn(Shifted, stem=_DIFFERS),
    **_cnn(Overwritten, stem=_DIFFERS),
    **_cnn(Maxout, stem="amax"),
    **_cnn(Normalised, stem="norm"),
    **_cnn(SoftChannels, stem="softmax"),
    **_cnn(SpatialAttention, stem="mean", weigh="one unit"),
    **_cnn(ChannelConvolution, stem="conv1d", conv=""),
    **_cnn(ResponseNorm, stem="avg_pool3d"),
    **_cnn(Multiplied),
    **_cnn(SpaceToDepth),
    **_cnn(PixelShuffle),
    **_cnn(PixelUnshuffle),
    **_cnn(GroupedShuffle),
    **_cnn(GroupedTransposed),
    **_cnn(WeightNormed),
    "trap-SpectralNormed": Entry(SpectralNormed, pictures(), _NONE, {"next": "mv", "stem": "mv", "fc": "output"}),
    **_cnn(WeightStandardised, stem="mean"),
    **_cnn(Counted, stem=_DIFFERS),
    **_cnn(MeanOfChannels, stem="mean"),
    **_cnn(SumOfChannels, stem="sum"),
    "trap-Gram": Entry(Gram, pictures(), _NEURONS, {"stem": _FAILS, "next": "not use", "fc": "output"}),
    **_cnn(Noised),
    **_cnn(Stacked),
    **_rows(Windowed, _NEURONS | {"heads"}, fc="output"),
    **_rows(FewKeys, _NEURONS, q=_FAILS, k=_FAILS, v=_FAILS, fc="output"),
    **_rows(OneHead, _NEURONS, q=_DIFFERS, k=_DIFFERS, fc="output"),
    "trap-KeysElsewhere": Entry(
        KeysElsewhere,
        series(5, 6),
        _NEURONS,
        {"query": _FAILS, **{f"attention.{one}_proj_weight": "mean" for one in "qkv"}, "fc": "output"},
    ),
    "trap-Mixer": Entry(Mixer, series(5, 6), _NEURONS, {"tokens.2": "no layer makes", "head": "output"}),
    "trap-Autoencoder": Entry(Autoencoder, vectors(12), _NEURONS, shared=True),
    **_flat(TwinLayers, _NEURONS, head="output"),
    **_flat(Bilinear, _NONE, left="bilinear", right="bilinear", both="bilinear", head="output"),
    **_flat(Outer, _NEURONS, left=_FAILS, head="output"),
    "trap-Voxels": Entry(Voxels, series(1, 8, 8, 8), _FILTERS, {"fc": "output"}),
}
