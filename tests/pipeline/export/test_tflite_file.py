"""Reading .tflite files: weights, MACs, zeros and tensors as a count by hand has them; what is no such file."""

from __future__ import annotations

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from device_agents.bundle import Tensor as Declared
from pipeline import network
from pipeline.export.tflite_file import (
    NotTflite,
    file_size,
    operations,
    operators,
    parse,
    superfluous_transposes,
    tensors,
)
from pipeline.export.tflite_names import leanest, serialised
from pipeline.export.to_tflite import to_tflite
from pipeline.pruning.sparsity import sparsify
from pipeline.quantization.tflite import quantise_tflite
from tests.pipeline import nets
from tests.pipeline.export import tflited


@pytest.mark.slow
def test_file_size_of_the_flat_network_is_the_hand_count() -> None:
    size = file_size(tflited.tflite_of("flat"))
    assert size.macs == 64 * 16 * 9 + 16 * 24 * 16 * 9 + 384 * 32 + 32 * 10
    shapes = {
        name: size.weights[name]
        for name in ("conv1/DEPTHWISE_CONV_2D", "conv2/CONV_2D", "hidden/FULLY_CONNECTED", "head/FULLY_CONNECTED")
    }
    assert list(shapes.values()) == [[16, 1, 3, 3], [24, 16, 3, 3], [32, 384], [10, 32]]
    params = 16 * 10 + 24 * (16 * 9 + 1) + 32 * (384 + 1) + 10 * 33
    assert params <= size.elements <= params + 32  # a padding's amounts are constants too


def test_file_size_lists_weights_by_module_with_output_channels_first() -> None:
    size = file_size(tflited.tflite_of("resnet"))
    assert size.weights["norm/DEPTHWISE_CONV_2D"] == [16, 1, 3, 3]
    assert size.weights["blocks.2.norm1/CONV_2D"] == [32, 16, 3, 3]
    assert size.weights["blocks.2.shortcut.1/CONV_2D"] == [32, 16, 1, 1]
    assert list(size.weights)[-1] == "head/FULLY_CONNECTED"


@pytest.mark.parametrize(
    "name",
    ["resnet", "patches", *(pytest.param(one, marks=pytest.mark.slow) for one in ("mobile", "grouped", "words"))],
)
def test_file_size_counts_what_torch_counts_in_every_precision(name: str) -> None:
    x = tflited.samples_of(name, 4)
    macs = network.measure(tflited.net_of(name), x[:1]).macs
    named = tflited.tflite_of(name)
    size = file_size(named)
    assert size.macs == file_size(leanest(named)).macs == macs
    for precision in ("int8", "dynamic", "float16"):
        found = file_size(quantise_tflite(named, x.numpy(), precision))
        assert (found.macs, found.weighed) == (macs, size.weighed)


class _Wider(nn.Module):
    """Half the size and back, as a U-Net does."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 8, 3, 2, 1), nn.ConvTranspose2d(8, 6, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


@pytest.mark.slow
def test_transposed_convolution_counts_as_torch_does_and_a_transpose_at_the_output_is_found() -> None:
    tflited.installed()
    net, x = _Wider().eval(), nets.pictures(1)
    data = to_tflite(net, x)
    assert file_size(data).macs == network.measure(net, x).macs > 0
    assert [6, 8, 2, 2] in file_size(data).weights.values()
    assert len(superfluous_transposes(data)) == operators(data)["TRANSPOSE"] == 1  # the picture comes out as torch's


@pytest.mark.slow
def test_zeros_of_the_network_are_in_the_file_of_every_precision() -> None:
    tflited.installed()
    net, x = nets.make("mobile"), nets.pictures(16)
    assert file_size(tflited.tflite_of("mobile")).zeros == 0
    zeros = sum(one.zeros for one in sparsify(net, 0.9))
    named = to_tflite(net, x[:1])
    size = file_size(named)
    assert (size.zeros, size.zeros / size.weighed) == (zeros, pytest.approx(0.9, abs=0.01))  # type: ignore[comparison-overlap]
    for precision in ("int8", "dynamic", "float16"):
        assert file_size(quantise_tflite(named, x.numpy(), precision)).zeros >= zeros


def test_tensors_are_what_a_bundle_declares() -> None:
    named = tflited.tflite_of("resnet")
    for data in (named, quantise_tflite(named, nets.pictures(8).numpy(), "int8", integer_io=True)):
        entering, leaving = tensors(leanest(data))
        assert [Declared.model_validate(one).name for one in entering + leaving] == ["input", "output"]
    assert (entering[0]["dtype"], entering[0]["layout"]) == ("int8", "channels-last")
    assert entering[0]["scale"] > 0
    assert "layout" not in leaving[0]


def test_transposes_that_undo_each_other_are_superfluous_but_attention_needs_its_own() -> None:
    data = tflited.tflite_of("patches")
    assert operators(data)["TRANSPOSE"] > 0
    assert superfluous_transposes(data) == []
    model = parse(data)
    graph = model.subgraphs[0]
    moves = [place for place, one in enumerate(operations(model)) if one.kind == "TRANSPOSE"]
    graph.operators[moves[1]].inputs = np.array(
        [graph.operators[moves[0]].outputs[0], *[graph.operators[moves[1]].inputs[1]]]
    )
    assert len(superfluous_transposes(serialised(model))) == 1


def test_weights_behind_the_flatbuffer_are_read() -> None:
    data = tflited.tflite_of("resnet")
    model = parse(data)
    places, behind = {}, b""
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 1000:
            places[len(behind)] = buffer
            behind += bytes(buffer.data)
            buffer.data, buffer.size = None, 1
    for _ in range(2):  # the second time with the offsets that the first one's length gives
        front = len(serialised(model))
        for offset, buffer in places.items():
            buffer.offset, buffer.size = front + offset, 0
        sizes = [*list(places)[1:], len(behind)]
        for (offset, buffer), end in zip(places.items(), sizes, strict=True):
            buffer.size = end - offset
    large = serialised(model) + behind
    assert file_size(large) == file_size(data)
    assert leanest(large) == leanest(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"nothing of the kind", b"\x08\0\0\0TFL3", b"\xff\xff\xff\x7fTFL3" + bytes(40)],
    ids=["empty", "text", "short", "wild"],
)
def test_what_is_no_tflite_file_is_refused(data: bytes) -> None:
    with pytest.raises(NotTflite) as caught:
        parse(data)
    assert caught.value.remedy


def test_a_truncated_file_is_refused_or_read_as_far_as_it_goes() -> None:
    data = tflited.tflite_of("resnet")
    with pytest.raises(NotTflite):
        file_size(data[: len(data) // 3])


def test_flatbuffers_python_is_the_one_that_is_pinned() -> None:
    # Its builder's methods are overridden in serialised().
    assert {"StartVector", "CreateNumpyVector"} <= set(vars(flatbuffers.Builder))
    assert torch.__version__
