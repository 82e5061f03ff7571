"""BERT from the transformers library: a tiny one, and the real MiniLM from its package."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Entry, Inputs, tokens

PACKAGE = ("transformers", "./inv setup text")


class Sentiment(nn.Module):
    """Mean pooling over what is not padding, then a classifier: what most fine-tuning scripts do."""

    def __init__(self, bert: nn.Module, classes: int = 2) -> None:
        super().__init__()
        self.bert = bert
        self.classifier = nn.Linear(bert.config.hidden_size, classes)  # type: ignore[union-attr, arg-type]

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return self.classifier((states * weights).sum(1) / weights.sum(1).clamp(min=1))


def tiny(attention: str = "sdpa", layers: int = 2) -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    config._attn_implementation = attention
    return BertModel(config, add_pooling_layer=False)


def minilm() -> nn.Module:
    """The real one, as the recipe minilm-sentiment has it: six layers of twelve heads, 22.6 million parameters."""
    from models.architectures.minilm import sentiment
    from models.data.packages import DataMissing

    try:
        return sentiment()
    except DataMissing as error:
        from tests.prerequisites import require

        require(False, str(error))
        raise


def padded(length: int, vocabulary: int) -> Inputs:
    """int64 [N, length], the last third of every other sample is padding."""

    def make(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        (ids,) = tokens(length, vocabulary)(count, generator)
        ids[::2, length - length // 3 :] = 0
        return (ids,)

    return make


def with_mask(length: int, vocabulary: int) -> Inputs:
    """int64 [N, length] twice: numbers and their attention mask."""

    def make(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        (ids,) = padded(length, vocabulary)(count, generator)
        return ids, (ids != 0).long()

    return make


_KINDS = frozenset({"heads", "neurons"})


def _left(prefix: str, layers: int) -> dict[str, str]:
    names = [f"{prefix}embeddings.{name}_embeddings" for name in ("word", "position", "token_type")]
    for layer in range(layers):
        names += [f"{prefix}encoder.layer.{layer}.{name}" for name in ("attention.output.dense", "output.dense")]
    return dict.fromkeys(names, "norm")


ENTRIES = {
    "bert": Entry(
        lambda: Sentiment(tiny()), padded(9, 40), _KINDS, {**_left("bert.", 2), "classifier": "output"}, 2, PACKAGE
    ),
    "bert-eager": Entry(
        lambda: Sentiment(tiny("eager", 1)), padded(9, 40), _KINDS, {**_left("bert.", 1), "classifier": "output"}, 1,
        PACKAGE,
    ),
    "minilm": Entry(
        minilm, padded(20, 30000), _KINDS, {**_left("encoder.", 6), "head": "output"}, 6, PACKAGE, large=True,
        trained=True,
    ),
    "bert-bare": Entry(lambda: tiny(layers=1), with_mask(9, 40), _KINDS, _left("", 1), 1, PACKAGE),
}  # fmt: skip
