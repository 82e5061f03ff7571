"""MACs and elements of a file, against a count by hand."""

from __future__ import annotations

import pytest

from pipeline import network
from pipeline.export.lean import leanest
from pipeline.export.size import file_size
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
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
    import onnx

    model = exported_net("flat")
    int8 = quantise_static(model, nets.pictures(16).numpy(), "uint8", True, False)
    assert file_size(int8).macs == file_size(model).macs
    assert file_size(onnx.load_from_string(leanest(int8))).macs == file_size(model).macs
