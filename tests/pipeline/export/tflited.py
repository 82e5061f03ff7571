"""Networks as TensorFlow Lite files, each converted once a session: converting is what takes the time."""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from models.architectures.mobilenetv2 import mobilenetv2
from models.architectures.resnet import resnet8
from pipeline.export.tflite_file import dtype_of, operation_name, operations, parse, shape_of
from pipeline.export.tflite_names import serialised
from pipeline.export.to_tflite import to_tflite
from tests.pipeline import nets
from tests.pipeline.export import attentive
from tests.prerequisites import require


def installed() -> None:
    """Skips the test (fails it in CI) where what converts is missing."""
    require(importlib.util.find_spec("litert_torch"), "litert-torch is not installed: ./inv setup tflite")


MADE: dict[str, Callable[[], nn.Module]] = {
    **{name: functools.partial(nets.make, name) for name in nets.NETS},
    "patches": lambda: attentive.made(attentive.Patches),
    "words": lambda: attentive.made(attentive.Words),
    "resnet8": lambda: resnet8().eval(),
    "mobilenetv2": lambda: mobilenetv2().eval(),
}


def net_of(name: str) -> nn.Module:
    return MADE[name]()


def samples_of(name: str, count: int = 1, seed: int = 1) -> Tensor:
    if name == "words":
        return attentive.tokens(count, seed)
    x = nets.pictures(count, seed)
    return x.repeat(1, 1, 4, 4)[:, :, :28, :28].contiguous() if name in ("resnet8", "mobilenetv2") else x


@functools.cache
def tflite_of(name: str) -> bytes:
    """A network as a file with the modules' names."""
    installed()
    return to_tflite(net_of(name), samples_of(name))


def tampered(named: bytes, layer: str) -> bytes:
    """A copy in which the weights of one layer are in another order."""
    model = parse(named)
    graph = model.subgraphs[0]
    done = [one for one in operations(model) if operation_name(graph, one).rpartition("/")[0] == layer]
    one = next(one for one in done if one.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
    tensor = graph.tensors[one.inputs[1]]
    buffer: Any = model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(buffer.data), dtype_of(tensor)).reshape(shape_of(tensor))
    turned = values[..., ::-1] if one.kind == "DEPTHWISE_CONV_2D" else values[::-1]
    buffer.data = np.frombuffer(copy.deepcopy(np.ascontiguousarray(turned)).tobytes(), np.uint8)
    return serialised(model)
