"""Networks that peers cut: what a user of theirs gets, and not what a wrong call gives."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from models.architectures.minilm import Classifier
from tests.bench.compression.setting import Cut
from tests.bench.compression.work.networks import _at
from tests.bench.pruning.work.lab import Lab
from tests.prerequisites import require

pytestmark = pytest.mark.slow


def test_whole_heads_of_a_bert_go_and_it_still_answers() -> None:
    for name in ("transformers", "torch_pruning"):
        require(find_spec(name) is not None, f"{name} is not installed: ./inv setup text bench")
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=100, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=16,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    net = Classifier(BertModel(config, add_pooling_layer=False), 48, 2, 0.0).eval()
    ids = torch.randint(1, 100, (2, 16), generator=torch.Generator().manual_seed(0))
    lab = cast(Lab, SimpleNamespace(example=(ids,)))
    cut: Any = _at(lab, net, Cut("torch-pruning", "l1", "local", 0.5), cast(Any, None), 0, 0, 0.5)
    attentions = [layer.attention.self for layer in cut.encoder.encoder.layer]
    assert [(one.num_attention_heads, one.attention_head_size, one.query.out_features) for one in attentions] == [
        (2, 12, 24),
        (2, 12, 24),
    ]
    assert cut(ids).shape == (2, 2)
    assert sum(one.numel() for one in cut.parameters()) < 0.6 * sum(one.numel() for one in net.parameters())
