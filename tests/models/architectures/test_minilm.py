"""MiniLM with a head, as its package gives it: padding is not seen, and the export says the same."""

from __future__ import annotations

import sys

import pytest
import torch

from edgewright.extras import MissingExtra
from models.architectures.minilm import Classifier, sentiment
from models.data.packages import MINILM
from tests.models.packaged import fetched

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network() -> Classifier:
    fetched(MINILM, modules=("transformers",))
    torch.manual_seed(0)
    return sentiment().eval()


@pytest.fixture
def ids() -> torch.Tensor:
    ids = torch.randint(1000, 30_000, (3, 40), generator=torch.Generator().manual_seed(1))
    ids[1, 25:] = 0
    ids[2, 5:] = 0
    return ids


def test_sentiment_has_the_parameters_it_says(network: Classifier) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 22_566_146


@torch.no_grad()
def test_sentiment_equals_the_encoder_with_transformers_own_mask(network: Classifier, ids: torch.Tensor) -> None:
    mask = ids != 0
    hidden = network.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    mean = torch.stack([row[there].mean(0) for row, there in zip(hidden, mask, strict=True)])
    torch.testing.assert_close(network(ids), network.head(mean), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_sentiment_does_not_see_padding(network: Classifier, ids: torch.Tensor) -> None:
    torch.testing.assert_close(network(ids)[2:], network(ids[2:, :5]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_sentiment_knows_alike_from_unlike(network: Classifier) -> None:
    """The weights are the trained ones, and where they belong: fresh ones would put all sentences side by side."""
    from tokenizers import Tokenizer

    from models.data.packages import here, unpacked
    from models.data.vader import TOKENIZER

    tokenizer = Tokenizer.from_file(str(unpacked(MINILM, here()) / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    said = ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today."]
    ids = torch.tensor([found.ids for found in tokenizer.encode_batch(said)])
    mask = (ids != 0).unsqueeze(-1)
    hidden = network.encoder(input_ids=ids, attention_mask=mask.squeeze(-1).long()).last_hidden_state
    mean = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    assert mean[0] @ mean[1] > 0.5 > 0.2 > mean[0] @ mean[2]


@torch.no_grad()
def test_sentiment_exports_with_int64_tokens(network: Classifier, ids: torch.Tensor) -> None:
    from pipeline.export.compare import run_file
    from pipeline.export.to_onnx import to_onnx

    model = to_onnx(network, ids[:1], 20)
    outputs = run_file(model.SerializeToString(), ids.numpy())
    torch.testing.assert_close(torch.from_numpy(outputs), network(ids), atol=1e-5, rtol=1e-4)


def test_sentiment_without_transformers_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match="The package transformers is not installed") as caught:
        sentiment()
    assert "./inv setup text" in str(caught.value)
