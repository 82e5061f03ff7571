"""torch's own transformer encoder, normalised after and before, over a sequence of vectors."""

from __future__ import annotations

from torch import Tensor, nn

from tests.zoo.entry import Entry, series


class Encoder(nn.Module):
    def __init__(self, norm_first: bool, dim: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(6, dim)
        layer = nn.TransformerEncoderLayer(
            dim, nhead=4, dim_feedforward=32, activation="gelu", batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(dim=1))


class Attention(nn.Module):
    """nn.MultiheadAttention used directly, its sequence first, for itself and for a query of another sequence."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(6, dim)
        self.self_attention = nn.MultiheadAttention(dim, 4)
        self.norm = nn.LayerNorm(dim)
        self.cross_attention = nn.MultiheadAttention(dim, 2, bias=False)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).transpose(0, 1)
        mixed, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.norm(x + mixed)
        pooled, _ = self.cross_attention(x.mean(0, keepdim=True), x, x, need_weights=False)
        return self.head(pooled.squeeze(0))


_KINDS = frozenset({"heads", "neurons"})


def _left() -> dict[str, str]:
    names = [f"encoder.layers.{layer}.{name}" for layer in range(2) for name in ("self_attn.out_proj", "linear2")]
    return {"embed": "norm", **dict.fromkeys(names, "norm"), "head": "output"}


ENTRIES = {
    "encoder-post-norm": Entry(lambda: Encoder(False), series(5, 6), _KINDS, _left(), layers=2),
    "encoder-pre-norm": Entry(lambda: Encoder(True), series(5, 6), _KINDS, _left(), layers=2),
    "multihead": Entry(
        Attention,
        series(5, 6),
        _KINDS,
        {"embed": "norm", "self_attention.out_proj": "norm", "head": "output"},
    ),
}
