"""MACs and elements of a file, against a count by hand."""

from __future__ import annotations

import os

import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline import network
from pipeline.export.lean import leanest
from pipeline.export.size import download_size, file_size
from pipeline.export.to_onnx import to_onnx
from pipeline.pruning.sparsity import sparsifiable, sparsify
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
from tests.pipeline.export import attentive
from tests.pipeline.export.exported import exported_net


def test_file_size_of_the_flat_network_is_the_hand_count() -> None:
    model = exported_net("flat")
    size = file_size(model)
    assert size.macs == 64 * 16 * 9 + 16 * 24 * 16 * 9 + 384 * 32 + 32 * 10
    assert size.weights["conv1/Conv"] == [16, 1, 3, 3]
    assert size.weights["conv2/Conv"] == [24, 16, 3, 3]
    params = 16 * 10 + 24 * (16 * 9 + 1) + 32 * (384 + 1) + 10 * 33
    assert params <= size.elements <= params + 8  # a reshape's target is an initialiser too


@pytest.mark.parametrize("name", ["resnet", "mobile", "concat", "grouped"])
def test_file_size_counts_what_torch_counts(name: str) -> None:
    net = nets.make(name)
    assert file_size(exported_net(name)).macs == network.measure(net, nets.pictures(1)).macs


def test_file_size_of_int8_counts_the_same_macs() -> None:
    model = exported_net("flat")
    int8 = quantise_static(model, nets.pictures(16).numpy(), "uint8", True, False)
    assert file_size(int8).macs == file_size(model).macs
    assert file_size(onnx.load_from_string(leanest(int8))).macs == file_size(model).macs


class _Wider(nn.Module):
    """Half the size and back, as a U-Net does."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 8, 3, 2, 1), nn.ConvTranspose2d(8, 6, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (attentive.made(attentive.Patches), nets.pictures(1)),
        (attentive.made(attentive.Words), attentive.tokens(1)),
        (_Wider(), nets.pictures(1)),
    ],
    ids=["vit", "words", "transposed"],
)
def test_file_size_counts_attention_and_transposed_convolutions_as_torch_does(net: nn.Module, x: Tensor) -> None:
    size = file_size(to_onnx(net, x, 20))
    assert size.macs == network.measure(net, x).macs > 0
    # Products of two activations have no weight; all weights are two or four axes, and none is one of them.
    assert size.weighed == sum(net.get_parameter(name).numel() for name in sparsifiable(net))
    assert len(size.weights) == len(sparsifiable(net))


@pytest.mark.parametrize("name", ["resnet", "mobile", "vit", "words"])
def test_zeros_of_the_network_are_in_the_float_file_and_in_the_int8_file(name: str) -> None:
    kinds = {"vit": attentive.Patches, "words": attentive.Words}
    net = attentive.made(kinds[name]) if name in kinds else nets.make(name)
    x = attentive.tokens(16) if name == "words" else nets.pictures(16)
    dense = to_onnx(net, x[:1], 20)
    assert file_size(dense).zeros == 0
    zeros = sum(one.zeros for one in sparsify(net, 0.9))
    sparse = to_onnx(net, x[:1], 20)
    size = file_size(sparse)
    assert (size.zeros, size.zeros / size.weighed) == (zeros, pytest.approx(0.9, abs=0.01))  # type: ignore[comparison-overlap]
    assert (size.macs, size.weights) == (file_size(dense).macs, file_size(dense).weights)
    int8 = quantise_static(sparse, x.numpy(), "uint8", True, False)
    assert file_size(int8).weighed == size.weighed
    assert file_size(int8).zeros >= zeros
    assert file_size(onnx.load_from_string(leanest(int8))).zeros == file_size(int8).zeros
    lean, was = leanest(sparse), leanest(dense)
    assert abs(len(lean) - len(was)) < 16
    assert download_size(lean) < 0.5 * download_size(was)
    assert download_size(leanest(int8)) < len(leanest(int8))


def test_download_size_is_the_same_every_time_and_no_gain_on_noise() -> None:
    noise = os.urandom(20_000)
    assert download_size(noise) == download_size(noise) == len(noise)
    assert download_size(bytes(20_000)) < 200


def test_zeros_are_counted_once_where_two_layers_share_a_weight() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    net[2].weight = net[0].weight
    sparsify(net, 0.5)
    size = file_size(to_onnx(net, torch.ones(1, 8), 20))
    assert (size.zeros, size.weighed) == (32, 64)
