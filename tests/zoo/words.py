"""Networks over words: recurrent ones, whose units can't be cut, and an embedding tied to the output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Entry, series, tokens


class Recurrent(nn.Module):
    """A recurrent layer between two linear ones; those have neurons of their own."""

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM]) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 12)
        self.rnn = kind(12, 16, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(32, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(torch.relu(self.embed(x)))
        return self.head(torch.relu(self.hidden(states[:, -1])))


class Tied(nn.Module):
    """A language model's habit: the words that are read are the words that are written (Press and Wolf 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 16)
        self.hidden = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.decoder = nn.Linear(16, 40, bias=False)
        self.decoder.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        return self.decoder(x + self.hidden(x))


class WordBag(nn.Module):
    """Learned positions added to words, no norm: the embedding's own width can go."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16, padding_idx=0)
        self.positions = nn.Embedding(7, 16)
        self.hidden = nn.Linear(16, 24)
        self.head = nn.Linear(24, 3)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.size(1), device=ids.device)
        x = self.words(ids) + self.positions(places)
        return self.head(torch.tanh(self.hidden(x)).mean(1))


_NEURONS = frozenset({"neurons"})

ENTRIES = {
    "gru": Entry(lambda: Recurrent(nn.GRU), series(5, 6), _NEURONS, {"rnn": "", "embed": "", "head": "output"}),
    "lstm": Entry(lambda: Recurrent(nn.LSTM), series(5, 6), _NEURONS, {"rnn": "", "embed": "", "head": "output"}),
    "tied": Entry(Tied, tokens(7, 40), _NEURONS, {"decoder": "shares the weight"}, shared=True),
    "word-bag": Entry(WordBag, tokens(7, 40), _NEURONS, {"head": "output"}),
}
